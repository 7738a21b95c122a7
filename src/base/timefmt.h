/* timefmt - points in time as nanoseconds since the epoch (UTC), and their texts. */
#pragma once

#include <stddef.h>
#include <stdint.h>

int64_t time_now_ns(void); /* CLOCK_REALTIME */
int64_t time_monotonic_ns(void);
/* RFC 3339 with nanoseconds and the local offset, as podman and docker print. 0 gives
 * 0001-01-01T00:00:00Z. buf >= 40 bytes; returns buf. */
char *time_rfc3339(int64_t ns, char *buf, size_t size);
/* Now, or SOURCE_DATE_EPOCH when that is set, to the second: "2024-05-01T10:00:00Z" in buf. */
void time_creation(char *buf, size_t size);
/* RFC 3339, unix seconds (with fraction), or a duration before now ("10m"). 0 or -EINVAL. */
int time_parse(const char *s, int64_t *ret_ns);
/* "5 seconds", "About a minute", "2 hours", "3 weeks": docker's words for a length of time. */
char *time_human(int64_t ns, char *buf, size_t size);
/* "2.08 MB": decimal units, as docker prints sizes. */
char *size_human(uint64_t bytes, char *buf, size_t size);
