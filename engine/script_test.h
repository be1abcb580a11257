/* script_test: the Lua that tests of rules run in.
 *
 * Unlike rules, tests are trusted: they get a plain lua_State of their own with all of Lua's libraries, the system's
 * modules (busted) and the program's scripts. It is opened, asked once (scripts/test.lua) and closed here. One thread. */
#ifndef ANANAS_SCRIPT_TEST_H
#define ANANAS_SCRIPT_TEST_H

typedef struct script_test {
    char *const *paths; /* specs and folders; none: the folder of the rules */
    int n_paths;
    const char *config; /* or NULL */
    const char *rules;
    int coloured;
} script_test_t;

/* Exit status: 0 all passed, 1 one failed, 2 a path is not there, 70 the runner itself failed. */
int script_test(const script_test_t *t);
#endif
