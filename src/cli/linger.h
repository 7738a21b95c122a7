/* linger - whether containers outlive the last logout, and come back with the host. */
#pragma once

#include <stdbool.h>

/* "/run/systemd/system" is there: sessions and boots are systemd's. */
bool linger_has_systemd(void);
/* The user's manager runs without a login (loginctl enable-linger). */
bool linger_is_on(void);
/* rootlet-restart.service is enabled, by this user or for all. */
bool linger_restart_enabled(void);
/* "systemctl --user enable ...", as it has to be typed here. */
const char *linger_enable_command(void);
/* Once per boot each: what a container that is to stay needs and this user has not. policy: of the
 * container, NULL is "no". One access(2) when it has been told. */
void linger_notice(const char *policy);
