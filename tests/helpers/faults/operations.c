/* Preloaded into a process: each operation on a file below a folder is numbered and recorded, and one of them fails or
 * ends the process.
 *
 * Interposed are the functions of the C library that Python, PyTorch (C++ streams) and Pillow use to change files, and
 * `open`. Forks share the numbering. Nothing is done until `faults_arm` is called.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { KILL = -1, KILL_WITHIN = -2 }; /* in place of an errno; a write is cut in half by the second */

static struct state {
    atomic_long count;
    long at;
    int failure, record;
    char folder[PATH_MAX];
} *state;

/* folder: absolute, without links. at: the number of the operation that fails, from 1; 0 for none. failure: an errno,
 * KILL or KILL_WITHIN. record: the descriptor of a file that gets a line "number operation path" for each. */
int faults_arm(const char *folder, long at, int failure, int record) {
    struct state *made = mmap(NULL, sizeof *made, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (made == MAP_FAILED) return errno;
    snprintf(made->folder, sizeof made->folder, "%s", folder);
    made->at = at, made->failure = failure, made->record = record;
    state = made;
    return 0;
}

static void end_process(void) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

/* The failure of this operation: 0 for none, an errno, or KILL_WITHIN, which the caller carries out. */
static int check(const char *operation, const char *path) {
    size_t length = strlen(state->folder);
    if (strncmp(path, state->folder, length) || (path[length] && path[length] != '/')) return 0;
    long number = atomic_fetch_add(&state->count, 1) + 1;
    char line[PATH_MAX + 64];
    int size = snprintf(line, sizeof line, "%ld %s %s\n", number, operation, path);
    syscall(SYS_write, state->record, line, size);
    if (number != state->at) return 0;
    if (state->failure == KILL) end_process();
    if (state->failure == KILL_WITHIN && strcmp(operation, "write")) end_process();
    return state->failure;
}

static int check_path(const char *operation, int folder, const char *path) {
    char link[64], absolute[2 * PATH_MAX] = "";
    if (!state || !path) return 0;
    int saved = errno, size = 0;
    if (*path != '/') {
        if (folder == AT_FDCWD) {
            if (!getcwd(absolute, PATH_MAX)) *absolute = 0;
            size = strlen(absolute);
        } else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            size = readlink(link, absolute, PATH_MAX);
        }
        if (size > 0) absolute[size++] = '/';
    }
    snprintf(absolute + (size > 0 ? size : 0), PATH_MAX, "%s", path);
    int failure = check(operation, absolute);
    errno = saved;
    return failure;
}

static int check_file(const char *operation, int file) {
    char link[64], path[PATH_MAX];
    if (!state) return 0;
    int saved = errno, failure = 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    int size = readlink(link, path, sizeof path - 1);
    if (size > 0) path[size] = 0, failure = check(operation, path);
    errno = saved;
    return failure;
}

#define FAIL_IF(check) do { int failure = (check); if (failure) { errno = failure; return -1; } } while (0)

static int do_open(int folder, const char *path, int flags, mode_t mode) {
    int writes = (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC);
    FAIL_IF(check_path(writes ? "open" : "read", folder, path));
    return syscall(SYS_openat, folder, path, flags, mode);
}

#define MODE(last) va_list list; va_start(list, last); mode_t mode = va_arg(list, mode_t); va_end(list)
#ifdef open64
#undef open64
#undef openat64
#endif
int open(const char *path, int flags, ...) { MODE(flags); return do_open(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags); return do_open(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags); return do_open(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags); return do_open(at, path, flags, mode); }
int __open_2(const char *path, int flags) { return do_open(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return do_open(AT_FDCWD, path, flags, 0); }
int __openat_2(int at, const char *path, int flags) { return do_open(at, path, flags, 0); }
int __openat64_2(int at, const char *path, int flags) { return do_open(at, path, flags, 0); }
int creat(const char *path, mode_t mode) { return do_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return do_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode); }

static FILE *do_fopen(const char *name, const char *path, const char *mode) {
    int failure = check_path(*mode == 'r' && !strchr(mode, '+') ? "read" : "open", AT_FDCWD, path);
    if (failure) { errno = failure; return NULL; }
    FILE *(*real)(const char *, const char *) = dlsym(RTLD_NEXT, name);
    return real(path, mode);
}
FILE *fopen(const char *path, const char *mode) { return do_fopen("fopen", path, mode); }
FILE *fopen64(const char *path, const char *mode) { return do_fopen("fopen64", path, mode); }

ssize_t write(int file, const void *data, size_t size) {
    int failure = check_file("write", file);
    if (failure == KILL_WITHIN) { syscall(SYS_write, file, data, size / 2); end_process(); }
    FAIL_IF(failure);
    return syscall(SYS_write, file, data, size);
}
ssize_t writev(int file, const struct iovec *parts, int count) {
    int failure = check_file("write", file);
    if (failure == KILL_WITHIN) { syscall(SYS_writev, file, parts, (count + 1) / 2); end_process(); }
    FAIL_IF(failure);
    return syscall(SYS_writev, file, parts, count);
}
static ssize_t do_pwrite(int file, const void *data, size_t size, off_t offset) {
    int failure = check_file("write", file);
    if (failure == KILL_WITHIN) { syscall(SYS_pwrite64, file, data, size / 2, offset); end_process(); }
    FAIL_IF(failure);
    return syscall(SYS_pwrite64, file, data, size, offset);
}
ssize_t pwrite(int file, const void *data, size_t size, off_t offset) { return do_pwrite(file, data, size, offset); }
ssize_t pwrite64(int file, const void *data, size_t size, off_t offset) { return do_pwrite(file, data, size, offset); }

static ssize_t do_sendfile(int to, int from, off_t *offset, size_t size) {
    int failure = check_file("write", to);
    if (failure == KILL_WITHIN) { syscall(SYS_sendfile, to, from, offset, size / 2); end_process(); }
    FAIL_IF(failure);
    return syscall(SYS_sendfile, to, from, offset, size);
}
ssize_t sendfile(int to, int from, off_t *offset, size_t size) { return do_sendfile(to, from, offset, size); }
ssize_t sendfile64(int to, int from, off_t *offset, size_t size) { return do_sendfile(to, from, offset, size); }

static int whole(int failure) { return failure == KILL_WITHIN ? EIO : failure; } /* never KILL_WITHIN but of a write */

int fsync(int file) { FAIL_IF(whole(check_file("fsync", file))); return syscall(SYS_fsync, file); }
int fdatasync(int file) { FAIL_IF(whole(check_file("fsync", file))); return syscall(SYS_fdatasync, file); }
int ftruncate(int file, off_t size) { FAIL_IF(check_file("truncate", file)); return syscall(SYS_ftruncate, file, size); }
int ftruncate64(int file, off_t size) { FAIL_IF(check_file("truncate", file)); return syscall(SYS_ftruncate, file, size); }

static int do_rename(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    FAIL_IF(check_path("rename", to_at, to));
    return syscall(SYS_renameat2, from_at, from, to_at, to, flags);
}
int rename(const char *from, const char *to) { return do_rename(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int from_at, const char *from, int to_at, const char *to) { return do_rename(from_at, from, to_at, to, 0); }
int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    return do_rename(from_at, from, to_at, to, flags);
}

int unlinkat(int at, const char *path, int flags) {
    FAIL_IF(check_path("remove", at, path));
    return syscall(SYS_unlinkat, at, path, flags);
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int mkdirat(int at, const char *path, mode_t mode) {
    FAIL_IF(check_path("mkdir", at, path));
    return syscall(SYS_mkdirat, at, path, mode);
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
int symlinkat(const char *target, int at, const char *path) {
    FAIL_IF(check_path("symlink", at, path));
    return syscall(SYS_symlinkat, target, at, path);
}
int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }
int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
    FAIL_IF(check_path("symlink", to_at, to));
    return syscall(SYS_linkat, from_at, from, to_at, to, flags);
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }
