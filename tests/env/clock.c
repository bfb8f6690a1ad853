/* Moves the wall clock of one process, so that no test waits for minutes to pass: LD_PRELOAD=clock.so CLOCK_AHEAD=FILE.
   The file holds by how many seconds; it may change while the process runs. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *at) {
  const char *path = getenv("CLOCK_AHEAD");
  int result = syscall(SYS_clock_gettime, id, at);
  if (result != 0 || id != CLOCK_REALTIME || path == NULL) return result;
  char digits[16] = "";
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return result;
  if (read(file, digits, sizeof digits - 1) > 0) at->tv_sec += atol(digits);
  close(file);
  return result;
}
