/*
 * Exercises one file after the manner of fsx: reads, writes, truncates, mapped reads and writes, holes, syncs and reopening, in an order that follows from the seed, against a
 * copy in memory. Ends with status 0, or prints the operation at which the file and the copy differed and ends with 1; 2 when the file system gave an error.
 *
 *   file-exerciser FILE SEED OPERATIONS BYTES_MAX          runs
 *   file-exerciser FILE SEED OPERATIONS BYTES_MAX check    only compares the file with what such a run leaves
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t state;
static const char *path;
static unsigned char *model, *buffer;
static long size, size_max, operation;
static int fd = -1, dry;

/* splitmix64 */
static uint64_t next(void) {
  uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static long below(long bound) { return bound <= 0 ? 0 : (long)(next() % (uint64_t)bound); }

static void failed(const char *what) {
  printf("operation %ld: %s: %s\n", operation, what, strerror(errno));
  exit(2);
}

static void compare(const unsigned char *found, long offset, long length, const char *what) {
  for (long i = 0; i < length; i++) {
    if (found[i] == model[offset + i]) continue;
    printf("operation %ld: %s [%ld, +%ld) of %ld: byte %ld is 0x%02x, expected 0x%02x\n", operation, what, offset, length, size, offset + i,
           found[i], model[offset + i]);
    exit(1);
  }
}

static void reopen(void) {
  if (dry) return;
  if (fd >= 0 && close(fd) != 0) failed("close");
  fd = open(path, O_RDWR | O_CREAT, 0644);
  if (fd < 0) failed("open");
}

static void read_back(long offset, long length) {
  if (dry) return;
  for (long done = 0; done < length;) {
    ssize_t n = pread(fd, buffer + done, (size_t)(length - done), offset + done);
    if (n < 0) failed("read");
    if (n == 0) {
      printf("operation %ld: the file ends at %ld, expected %ld\n", operation, offset + done, size);
      exit(1);
    }
    done += n;
  }
  compare(buffer, offset, length, "read");
}

static void grow_to(long end) {
  if (end <= size) return;
  memset(model + size, 0, (size_t)(end - size));
  size = end;
}

static void fill(long offset, long length) {
  for (long i = 0; i < length; i++) model[offset + i] = (unsigned char)(i % 8 == 0 ? next() : model[offset + i - 1] + 37u);
}

static void write_some(long offset, long length) {
  grow_to(offset + length);
  fill(offset, length);
  if (dry) return;
  for (long done = 0; done < length;) {
    ssize_t n = pwrite(fd, model + offset + done, (size_t)(length - done), offset + done);
    if (n <= 0) failed("write");
    done += n;
  }
}

static void truncate_to(long end) {
  if (end > size) grow_to(end);
  size = end;
  if (!dry && ftruncate(fd, end) != 0) failed("truncate");
}

static void mapped(long offset, long length, int writes) {
  long page = sysconf(_SC_PAGESIZE), start = offset - offset % page;
  if (writes) fill(offset, length);
  if (dry) return;
  unsigned char *map = mmap(NULL, (size_t)(offset + length - start), PROT_READ | (writes ? PROT_WRITE : 0), MAP_SHARED, fd, start);
  if (map == MAP_FAILED) failed("mmap");
  if (writes) {
    memcpy(map + (offset - start), model + offset, (size_t)length);
    if (msync(map, (size_t)(offset + length - start), MS_SYNC) != 0) failed("msync");
  } else compare(map + (offset - start), offset, length, "mapped read");
  munmap(map, (size_t)(offset + length - start));
}

static void punch(long offset, long length) {
  memset(model + offset, 0, (size_t)length);
  if (!dry && fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length) != 0) failed("punch");
}

/* What is read next comes from the disk. */
static void forget(void) {
  if (dry) return;
  if (fdatasync(fd) != 0) failed("fdatasync");
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

static void step(void) {
  long offset = below(size_max), length = 1 + below(below(4) == 0 ? 65536 : 8192);
  int kind = (int)below(100);
  if (offset + length > size_max) length = size_max - offset;
  long inside = below(size), part = inside + length > size ? size - inside : length;
  if (kind < 30) write_some(offset, length);
  else if (kind < 50 && size > 0) read_back(inside, part);
  else if (kind < 60 && size > 0) mapped(inside, part, 1);
  else if (kind < 72 && size > 0) mapped(inside, part, 0);
  else if (kind < 80) truncate_to(below(3) == 0 ? below(size_max) : size - below(size / 8 + 1));
  else if (kind < 86 && size > 0) punch(inside, part);
  else if (kind < 92) forget();
  else if (kind < 96) reopen();
  else if (!dry && fsync(fd) != 0) failed("fsync");
}

int main(int argc, char **argv) {
  if (argc < 5) return 2;
  path = argv[1];
  state = strtoull(argv[2], NULL, 10);
  long operations = atol(argv[3]);
  size_max = atol(argv[4]);
  dry = argc > 5;
  model = calloc(1, (size_t)size_max);
  buffer = malloc((size_t)size_max);
  if (model == NULL || buffer == NULL) failed("memory");
  if (!dry) unlink(path);
  reopen();
  for (operation = 0; operation < operations; operation++) step();
  dry = 0;
  if (fd < 0) reopen();
  forget();
  struct stat found;
  if (fstat(fd, &found) != 0) failed("stat");
  if (found.st_size != size) {
    printf("the file has %ld bytes, expected %ld\n", (long)found.st_size, size);
    return 1;
  }
  read_back(0, size);
  if (fsync(fd) != 0 || close(fd) != 0) failed("last sync");
  return 0;
}
