/* Intel ISA-L on the same shapes, for `keelson bench parity`: cc -O2 isal-bench.c -lisal. Prints one figure a line: op k m lost shardBytes set GB/s.
 * Arguments: sampling in ms, bytes of the cold set, then "k,m,shardBytes,set" once or more. */
#include <isa-l.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SHARDS_MAX = 255, SAMPLES_MAX = 4096, SAMPLE_BYTES = 4 << 20 };

static unsigned char *memory;
static size_t coldBytes;
static double sampling;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

typedef struct {
  const char *op;
  int k, m, lost, rows, changed; /* changed: the data shard of an update, else -1 */
  const int *sources, *targets;
  unsigned char *tables;
} Work;

static void once(const Work *work, unsigned char *stripe, size_t length) {
  unsigned char *in[SHARDS_MAX], *out[SHARDS_MAX];
  for (int i = 0; i < work->k; i++) in[i] = stripe + (size_t)work->sources[i] * length;
  for (int i = 0; i < work->rows; i++) out[i] = stripe + (size_t)work->targets[i] * length;
  if (work->changed >= 0) ec_encode_data_update((int)length, work->k, work->rows, work->changed, work->tables, in[work->changed], out);
  else ec_encode_data((int)length, work->k, work->rows, work->tables, in, out);
}

static void measure(const Work *work, size_t length, int cold) {
  const size_t stripeBytes = (size_t)(work->k + work->m) * length;
  const size_t data = (work->changed >= 0 ? 1 : (size_t)work->k) * length;
  const size_t stripes = cold ? coldBytes / stripeBytes : (SAMPLE_BYTES + data - 1) / data;
  static double samples[SAMPLES_MAX];
  int count = 0;
  for (size_t i = 0; i < stripes; i++) once(work, memory + (cold ? i * stripeBytes : 0), length);
  const double end = now() + sampling;
  while (count < 3 || (now() < end && count < SAMPLES_MAX)) {
    const double start = now();
    for (size_t i = 0; i < stripes; i++) once(work, memory + (cold ? i * stripeBytes : 0), length);
    samples[count++] = now() - start;
  }
  qsort(samples, (size_t)count, sizeof *samples, ascending);
  printf("%s %d %d %d %zu %s %.6f\n", work->op, work->k, work->m, work->lost, length, cold ? "cold" : "hot", (double)(stripes * data) / samples[count / 2] / 1e9);
}

static void decode(int k, int m, int lost, const unsigned char *matrix, int *sources, int *targets, unsigned char *tables) {
  static unsigned char rows[SHARDS_MAX * SHARDS_MAX], inverse[SHARDS_MAX * SHARDS_MAX];
  for (int i = 0; i < k; i++) {
    sources[i] = i + lost;
    memcpy(rows + i * k, matrix + (i + lost) * k, (size_t)k);
  }
  for (int i = 0; i < lost; i++) targets[i] = i;
  if (gf_invert_matrix(rows, inverse, k) != 0) exit(2);
  ec_init_tables(k, lost, inverse, tables);
}

int main(int argc, char **argv) {
  if (argc < 4) return 1;
  sampling = atof(argv[1]) / 1e3;
  coldBytes = strtoull(argv[2], NULL, 10);
  memory = aligned_alloc(4096, coldBytes + (32u << 20));
  if (memory == NULL) return 2;
  memset(memory, 0x5a, coldBytes + (32u << 20));
  fprintf(stderr, "%d.%d.%d\n", ISAL_MAJOR_VERSION, ISAL_MINOR_VERSION, ISAL_PATCH_VERSION);
  static unsigned char matrix[SHARDS_MAX * SHARDS_MAX], tables[SHARDS_MAX * 32 * 32], decodeTables[SHARDS_MAX * 32 * 32];
  for (int i = 3; i < argc; i++) {
    int k, m, cold;
    size_t length;
    char set[8];
    if (sscanf(argv[i], "%d,%d,%zu,%7s", &k, &m, &length, set) != 4 || k + m > SHARDS_MAX || m > 32) return 1;
    cold = strcmp(set, "cold") == 0;
    gf_gen_cauchy1_matrix(matrix, k + m, k);
    ec_init_tables(k, m, matrix + k * k, tables);
    int data[SHARDS_MAX], parity[SHARDS_MAX], sources[SHARDS_MAX], targets[SHARDS_MAX];
    for (int j = 0; j < k; j++) data[j] = j;
    for (int j = 0; j < m; j++) parity[j] = k + j;
    measure(&(Work){"encode", k, m, 0, m, -1, data, parity, tables}, length, cold);
    measure(&(Work){"update", k, m, 0, m, k - 1, data, parity, tables}, length, cold);
    for (int lost = 1; lost <= m && lost <= k; lost += m > 1 ? m - 1 : 1) {
      decode(k, m, lost, matrix, sources, targets, decodeTables);
      measure(&(Work){"reconstruct", k, m, lost, lost, -1, sources, targets, decodeTables}, length, cold);
    }
  }
  return 0;
}
