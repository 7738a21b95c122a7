/* tsc - prints the rate of this processor's time stamp counter in kHz, as its guests under
 * emulation see it tick. */
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(void)
{
    double begin = seconds();
    unsigned long long ticks = __rdtsc();
    struct timespec t = {.tv_nsec = 200000000};
    nanosleep(&t, NULL);
    ticks = __rdtsc() - ticks;
    printf("%.0f\n", (double)ticks / (seconds() - begin) / 1e3);
    return 0;
}
