/* script_config: ananas.lua to config_t.
 *
 * Reads the file, has scripts/loader.lua run and check it, copies the result and registers its secrets with the log.
 * script_load_config of script.h is here; config_free frees what it gives. On the thread that owns the script. */
#ifndef ANANAS_SCRIPT_CONFIG_H
#define ANANAS_SCRIPT_CONFIG_H
#include "script_lua.h"
#endif
