/*
 * A disk that takes its time: each fsync and fdatasync of a program lasts 2.3 ms longer, or as long as SLOW_FSYNC_US says.
 * The figures for slow disks in src/ARCHITECTURE.md were measured with it:
 *
 *   cc -shared -fPIC -O2 -o slow_fsync.so tests/slow_fsync.c -ldl
 *   LD_PRELOAD=$PWD/slow_fsync.so wabridge bench
 *
 * For PostgreSQL its server is started so, too.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

static void wait_a_little(void)
{
    const char *wish = getenv("SLOW_FSYNC_US");
    long us = wish ? atol(wish) : 2300;
    struct timespec pause = { us / 1000000, us % 1000000 * 1000 };
    nanosleep(&pause, NULL);
}

int fsync(int file)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_a_little();
    return real(file);
}

int fdatasync(int file)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    wait_a_little();
    return real(file);
}
