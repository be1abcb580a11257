#include <luajit.h>

#include "version_print.h"

const char *version_of_lua(void) { return LUAJIT_VERSION; }
