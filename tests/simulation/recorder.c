/* Remembers how much of every file under RTP_SYNC_ROOT has reached the disk: preloaded into a shard, it notes the length of
 * a file after each fsync or fdatasync, and renames, as lines of RTP_SYNC_RECORD:
 *
 *   S <length> <path>
 *   R <old path>\t<new path>
 *
 * Lines are written after the real call succeeded and in one write each, so that a kill leaves no half of one that counts.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void note(const char *line, int length) {
    const char *record = getenv("RTP_SYNC_RECORD");
    if (!record) return;
    int fd = open(record, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return;
    if (write(fd, line, (size_t)length) != length) abort();
    close(fd);
}

static int is_ours(const char *path) {
    const char *root = getenv("RTP_SYNC_ROOT");
    return root && strncmp(path, root, strlen(root)) == 0;
}

static void synced(int fd) {
    char link[64], path[PATH_MAX], line[PATH_MAX + 64];
    struct stat status;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0) return;
    path[n] = 0;
    if (!is_ours(path) || fstat(fd, &status) || !S_ISREG(status.st_mode)) return;
    note(line, snprintf(line, sizeof line, "S %lld %s\n", (long long)status.st_size, path));
}

int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    int result = real(fd);
    if (!result) synced(fd);
    return result;
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    int result = real(fd);
    if (!result) synced(fd);
    return result;
}

int rename(const char *from, const char *to) {
    static int (*real)(const char *, const char *);
    char line[2 * PATH_MAX + 8];
    if (!real) real = (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
    int result = real(from, to);
    if (!result && is_ours(to)) note(line, snprintf(line, sizeof line, "R %s\t%s\n", from, to));
    return result;
}
