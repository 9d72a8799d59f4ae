/* What people use for walk E: LevelDB's `Get`, all of it in its cache of blocks, without compression. It does more than the walk: it
   asks its table in memory first, takes locks, finds the table among the levels, checks the sums of blocks that it reads, and copies the
   value.

   The declarations are those of leveldb/c.h, so that the library is enough. */

#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef struct leveldb_t leveldb_t;
typedef struct leveldb_options_t leveldb_options_t;
typedef struct leveldb_readoptions_t leveldb_readoptions_t;
typedef struct leveldb_writeoptions_t leveldb_writeoptions_t;
typedef struct leveldb_cache_t leveldb_cache_t;

extern leveldb_options_t *leveldb_options_create(void);
extern void leveldb_options_set_create_if_missing(leveldb_options_t *, unsigned char);
extern void leveldb_options_set_compression(leveldb_options_t *, int);
extern void leveldb_options_set_cache(leveldb_options_t *, leveldb_cache_t *);
extern leveldb_cache_t *leveldb_cache_create_lru(size_t capacity);
extern leveldb_readoptions_t *leveldb_readoptions_create(void);
extern leveldb_writeoptions_t *leveldb_writeoptions_create(void);
extern leveldb_t *leveldb_open(const leveldb_options_t *, const char *name, char **error);
extern void leveldb_put(leveldb_t *, const leveldb_writeoptions_t *, const char *key, size_t, const char *value, size_t, char **error);
extern char *leveldb_get(leveldb_t *, const leveldb_readoptions_t *, const char *key, size_t, size_t *value_length, char **error);
extern void leveldb_compact_range(leveldb_t *, const char *start, size_t, const char *limit, size_t);
extern void leveldb_free(void *);
extern void leveldb_close(leveldb_t *);

#define KEYS 5000

static leveldb_t *database;
static leveldb_readoptions_t *reading;

/* Makes a database with the keys of the image at a path. */
int rival_open(const char *path) {
    leveldb_options_t *options = leveldb_options_create();
    char *error = NULL;
    leveldb_options_set_create_if_missing(options, 1);
    leveldb_options_set_compression(options, 0);
    leveldb_options_set_cache(options, leveldb_cache_create_lru(64 << 20));
    database = leveldb_open(options, path, &error);
    if (error) return 1;
    leveldb_writeoptions_t *writing = leveldb_writeoptions_create();
    for (int n = 0; n < KEYS; n++) {
        char key[24], value[100];
        snprintf(key, sizeof key, "%016d", 7 * n);
        memset(value, n, sizeof value);
        leveldb_put(database, writing, key, 16, value, sizeof value, &error);
        if (error) return 2;
    }
    /* Out of the table in memory. */
    leveldb_compact_range(database, NULL, 0, NULL, 0);
    reading = leveldb_readoptions_create();
    return 0;
}

/* Bytes of the value of a key, which stands in the fourth and fifth word, or -1. */
int64_t rival_lookup(const uint64_t *args) {
    size_t length = 0;
    char *error = NULL, *value = leveldb_get(database, reading, (const char *)(args + 3), 16, &length, &error);
    if (!value) return -1;
    leveldb_free(value);
    return (int64_t)length;
}

void rival_close(void) { leveldb_close(database); }
