/* Tells what a power cut would leave: preloaded into a process, it writes a line for everything that makes bytes or names
 * below a directory durable, or changes a name there. What it replaces or removes, it keeps a second name for.
 *
 *   S inode length        the file was synced at that length       T inode length    it was cut to that length
 *   C inode path          the name was made                        D path            the directory was synced
 *   R kept old new        renamed; `kept` names the replaced file in the folder of the record, if there was one
 *   U kept path           removed
 *
 * A line is written after its system call; a process killed in between told nobody that the call had been made.
 * RTP_CUT_DATA is the directory watched, RTP_CUT_RECORD the folder of `record` and of what is kept. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static atomic_int record_fd = -1, record_pid = 0, kept_files = 0;

static int watched(const char *path) {
    const char *data = getenv("RTP_CUT_DATA");
    size_t n = data ? strlen(data) : 0;
    return n && path && strncmp(path, data, n) == 0 && (path[n] == '/' || path[n] == 0);
}

static void tell(const char *format, ...) {
    const char *folder = getenv("RTP_CUT_RECORD");
    char line[2 * PATH_MAX + 64], name[PATH_MAX];
    va_list args;
    if (!folder) return;
    if (record_pid != getpid()) {
        snprintf(name, sizeof name, "%s/record", folder);
        record_fd = REAL(open64)(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        record_pid = getpid();
    }
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (record_fd < 0 || REAL(write)(record_fd, line, (size_t)n) != n) abort();
}

/* A second name for a file that is about to lose its own; -1 when there is none. */
static int keep(const char *path) {
    char name[PATH_MAX];
    int number = atomic_fetch_add(&kept_files, 1);
    snprintf(name, sizeof name, "%s/%d.%d", getenv("RTP_CUT_RECORD"), getpid(), number);
    return link(path, name) == 0 ? number : -1;
}

static void synced(int fd) {
    char self[64], path[PATH_MAX];
    struct stat st;
    int error = errno;
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(self, path, sizeof path - 1);
    if (n > 0 && fstat(fd, &st) == 0) {
        path[n] = 0;
        if (watched(path) && S_ISDIR(st.st_mode)) tell("D %s\n", path);
        if (watched(path) && S_ISREG(st.st_mode)) tell("S %lu %ld\n", st.st_ino, (long)st.st_size);
    }
    errno = error;
}

int fsync(int fd) {
    int result = REAL(fsync)(fd);
    if (result == 0) synced(fd);
    return result;
}

int fdatasync(int fd) {
    int result = REAL(fdatasync)(fd);
    if (result == 0) synced(fd);
    return result;
}

static int opened(int (*real)(const char *, int, ...), const char *path, int flags, mode_t mode) {
    struct stat before, after;
    int look = watched(path) && (flags & (O_CREAT | O_TRUNC));
    int was = look && stat(path, &before) == 0;
    int fd = real(path, flags, mode);
    if (fd >= 0 && look && fstat(fd, &after) == 0 && S_ISREG(after.st_mode)) {
        if (!was) tell("C %lu %s\n", after.st_ino, path);
        if (was && (flags & O_TRUNC)) tell("T %lu 0\n", after.st_ino);
    }
    return fd;
}

static mode_t mode_of(int flags, va_list args) {
    return flags & (O_CREAT | O_TMPFILE) ? (mode_t)va_arg(args, int) : 0;
}

int open(const char *path, int flags, ...) {
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    return opened(REAL(open), path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    return opened(REAL(open64), path, flags, mode);
}

static void cut(int fd, long length) {
    struct stat st;
    char self[64], path[PATH_MAX];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(self, path, sizeof path - 1);
    if (n <= 0 || fstat(fd, &st) != 0) return;
    path[n] = 0;
    if (watched(path)) tell("T %lu %ld\n", st.st_ino, length);
}

int ftruncate(int fd, off_t length) {
    int result = REAL(ftruncate)(fd, length);
    if (result == 0) cut(fd, length);
    return result;
}

int ftruncate64(int fd, off64_t length) {
    int result = REAL(ftruncate64)(fd, length);
    if (result == 0) cut(fd, length);
    return result;
}

int rename(const char *from, const char *to) {
    if (!watched(to)) return REAL(rename)(from, to);
    int kept = keep(to);
    int result = REAL(rename)(from, to);
    if (result == 0) tell("R %d.%d %s %s\n", kept < 0 ? 0 : getpid(), kept, from, to);
    return result;
}

int unlink(const char *path) {
    if (!watched(path)) return REAL(unlink)(path);
    int kept = keep(path);
    int result = REAL(unlink)(path);
    if (result == 0) tell("U %d.%d %s\n", getpid(), kept, path);
    return result;
}
