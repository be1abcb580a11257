/* version_print: what `ananas version` says: version, git revision, versions of the libraries. */
#ifndef ANANAS_VERSION_PRINT_H
#define ANANAS_VERSION_PRINT_H

int version_print(void);        /* exit status */
const char *version_text(void); /* "0.1.0" */
const char *version_revision(void);
const char *version_of_kafka(void); /* version_kafka.c */
const char *version_of_lua(void);   /* script_version.c */
#endif
