/* runopts_life - the options of run, create and update for restart policies and health checks. With
 * runopts_lines.h. */
#pragma once

#define STARTUP "--health-start-period and --health-start-interval give a container time to start"

/* clang-format off */
#define LIFE_OPTIONS \
    FLAG("no-healthcheck", 0, no_healthcheck, "Ignore the image's HEALTHCHECK"), \
    TEXT("restart", 0, restart, "POLICY", "no, on-failure[:N], always or unless-stopped"), \
    TEXT("health-cmd", 0, health_cmd, "COMMAND", "Command inside that tells whether it is well"), \
    TEXT("health-interval", 0, health_interval, "TIME", "Time between two checks (30s)"), \
    TEXT("health-on-failure", 0, health_on_failure, "ACTION", "none, kill, restart or stop"), \
    {"health-retries", 0, OPT_INT, O(health_retries), "N", \
     "Failures in a row that make it unhealthy (3)", 0, NULL, NULL, O(health_retries_set)}, \
    TEXT("health-start-interval", 0, health_start_interval, "TIME", \
         "Time between two checks in the start period (5s)"), \
    TEXT("health-start-period", 0, health_start_period, "TIME", \
         "Failures in this time after the start do not count (0s)"), \
    TEXT("health-timeout", 0, health_timeout, "TIME", "A check that takes longer has failed (30s)"), \
    LATER("health-startup-cmd", STARTUP), LATER("health-startup-interval", STARTUP), \
    LATER("health-startup-retries", STARTUP), LATER("health-startup-success", STARTUP), \
    LATER("health-startup-timeout", STARTUP)
/* clang-format on */
