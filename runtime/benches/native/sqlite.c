/* What people use for walk C: a prepared statement of libsqlite3, the file mapped. It does more than the walk: it takes locks, runs
   its virtual machine, checks its cache and makes the value ready; what it gives is the value's place and size. */

#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>

static sqlite3 *database;
static sqlite3_stmt *statement;

int rival_open(const char *path) {
    if (sqlite3_open_v2(path, &database, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK) return 1;
    sqlite3_exec(database, "PRAGMA mmap_size=4294967296; PRAGMA locking_mode=EXCLUSIVE;", NULL, NULL, NULL);
    return sqlite3_prepare_v2(database, "SELECT v FROM t WHERE id=?", -1, &statement, NULL) != SQLITE_OK;
}

/* Bytes of the value of a row, whose number is the second word, or -1. */
int64_t rival_lookup(const uint64_t *args) {
    sqlite3_bind_int64(statement, 1, (int64_t)args[1]);
    int64_t size = -1;
    if (sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_blob(statement, 0)) size = sqlite3_column_bytes(statement, 0);
    sqlite3_reset(statement);
    return size;
}

void rival_close(void) {
    sqlite3_finalize(statement);
    sqlite3_close(database);
}
