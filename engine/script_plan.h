/* script_plan: rule files to plan_t.
 *
 * Reads the texts (the only part that touches files), has scripts/loader.lua load and check them, and copies what it
 * describes into rule.h's structs. script_load_rules, script_load_texts and script_texts of script.h are here. The plan is
 * the caller's, plan_free frees it. On the thread that owns the script. */
#ifndef ANANAS_SCRIPT_PLAN_H
#define ANANAS_SCRIPT_PLAN_H
#include "script_lua.h"

#define SCRIPT_FILES_MAX 10000     /* files below the rules folder */
#define SCRIPT_FILE_MAX (4u << 20) /* bytes of one */
#define SCRIPT_FOLDER_DEPTH 6

/* [.., plan table at t] -> same: copies what plan.lua described. */
void script_plan_copy(lua_State *L, int t, const config_t *config, plan_t *p);
/* Adds the faults that Lua collected: [.., list at t] -> same. */
void script_plan_faults(lua_State *L, int t, faults_t *faults);
#endif
