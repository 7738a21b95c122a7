/* id - identifiers: 64 hex digits for containers, names that a human can say. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define ID_LEN 64

void id_random(char ret[static ID_LEN + 1]);       /* getrandom(2) */
void id_random_hex(char *ret, size_t digits);      /* ret has digits + 1 bytes */
bool id_is_hex(const char *s);                     /* 1 to 64 lower-case hex digits */
void id_random_name(char *buf, size_t size);       /* "brave_otter" */
bool id_name_valid(const char *s);                 /* [a-zA-Z0-9][a-zA-Z0-9_.-]{0,127} */
void id_uuid(const char *id, char ret[static 37]); /* RFC 9562 version 4 form of an id's digits */
