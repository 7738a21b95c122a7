/* console - what a client wants of a process that it had us start: its terminal, its pid, its
 * descriptors. */
#pragma once

#include <sys/types.h>

#include "base/err.h"

/* Sends the pty's master (borrowed) to the client that listens on the unix stream socket at path,
 * with the pty's name as the data: conmon, containerd and runc's recvtty take it so. */
int oci_console_send(const char *path, int master, struct err *e);
/* Replaces the file at path by one with the pid's digits; readers never see a part. */
int oci_pid_file_write(const char *path, pid_t pid, struct err *e);
/* Descriptors 3 to 3+n-1 are the caller's, open and for us to hand on; none of ours is among them.
 */
int oci_check_preserved(unsigned n, struct err *e);
