/* The walks of `walks.trav` in C, as a careful programmer writes them: every read is tested against the image, every offset
   that comes from the image is tested before it is used, structures are read through memcpy, which compiles to one load.

   All have one signature. `args` are words (bytes: a word of length, then the bytes); `out` receives the result as the trav
   runtime lays it out. They return 0, or a number above it where trav ends in a fault. */

#include <stdint.h>
#include <string.h>

struct image { const uint8_t *bytes; uint64_t len; };

static inline uint16_t le16(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return v; }
static inline uint32_t le32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline uint64_t le64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline uint16_t be16(const uint8_t *p) { return __builtin_bswap16(le16(p)); }
static inline uint32_t be32(const uint8_t *p) { return __builtin_bswap32(le32(p)); }

/* `len` bytes at an offset of the image, or NULL. */
static inline const uint8_t *block(const struct image *image, uint64_t offset, uint64_t len) {
    if (len > image->len || offset > image->len - len) return NULL;
    return image->bytes + offset;
}

/* A: BPF-KV */

#define FANOUT 31
#define ADDRESS(p) ((p) & 0x7fffffffffffffffull)

/* The last of a node's keys that is at most `key`, or -1. */
static inline int node_linear(const uint8_t *node, uint64_t key) {
    int i = 0;
    while (i < FANOUT && le64(node + 16 + 8 * i) <= key) i++;
    return i - 1;
}

static inline int node_binary(const uint8_t *node, uint64_t key) {
    unsigned lo = 0, hi = FANOUT;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (le64(node + 16 + 8 * mid) <= key) lo = mid + 1; else hi = mid;
    }
    return (int)lo - 1;
}

#define BPFKV(NAME, SEARCH)                                                        \
    uint64_t NAME(const struct image *image, const uint64_t *args, uint64_t *out) { \
        uint64_t key = args[0];                                                     \
        out[0] = 0;                                                                 \
        const uint8_t *node = block(image, 0, 512);                                 \
        if (!node) return 1;                                                        \
        for (int depth = 0; le64(node + 8) == 0; depth++) {                         \
            if (depth == 8) return 2;                                               \
            int i = SEARCH(node, key);                                              \
            if (i < 0) i = 0;                                                       \
            node = block(image, ADDRESS(le64(node + 264 + 8 * i)), 512);            \
            if (!node) return 1;                                                    \
        }                                                                           \
        int i = SEARCH(node, key);                                                  \
        if (i < 0 || le64(node + 16 + 8 * i) != key) return 0;                      \
        uint64_t p = ADDRESS(le64(node + 264 + 8 * i));                             \
        const uint8_t *log = block(image, p - p % 512, 512);                        \
        if (!log) return 1;                                                         \
        out[0] = 1;                                                                 \
        out[1] = 64;                                                                \
        memcpy(out + 2, log + p % 512 / 64 * 64, 64);                               \
        return 0;                                                                   \
    }

BPFKV(bpfkv_linear, node_linear)
BPFKV(bpfkv_binary, node_binary)

/* B: ext4 */

static inline int extent_node_good(const uint8_t *node, unsigned space) {
    unsigned max = le16(node + 4);
    return le16(node) == 0xf30a && le16(node + 2) <= max && 12 + 12 * max <= space && le16(node + 6) <= 5;
}

/* The last entry that begins at or before `logical`, or -1. */
static inline int extent_search(const uint8_t *node, uint32_t logical) {
    unsigned lo = 0, hi = le16(node + 2);
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (le32(node + 12 + 12 * mid) <= logical) lo = mid + 1; else hi = mid;
    }
    return (int)lo - 1;
}

uint64_t extent(const struct image *image, const uint64_t *args, uint64_t *out) {
    uint32_t logical = (uint32_t)args[0];
    out[0] = 0;
    const uint8_t *node = block(image, 0, 60);
    if (!node) return 1;
    if (!extent_node_good(node, 60)) return 2;
    for (int depth = 0; le16(node + 6) > 0; depth++) {
        if (depth == 5) return 3;
        int i = extent_search(node, logical);
        if (i < 0) return 0;
        const uint8_t *entry = node + 12 + 12 * i;
        node = block(image, ((uint64_t)le16(entry + 8) << 32 | le32(entry + 4)) * 4096, 4096);
        if (!node) return 1;
        if (!extent_node_good(node, 4096)) return 2;
    }
    int i = extent_search(node, logical);
    if (i < 0) return 0;
    const uint8_t *entry = node + 12 + 12 * i;
    uint32_t first = le32(entry), length = le16(entry + 4);
    int written = length <= 32768;
    if (!written) length -= 32768;
    if (logical - first >= length) return 0;
    out[0] = 1;
    out[1] = ((uint64_t)le16(entry + 6) << 32 | le32(entry + 8)) + (logical - first);
    out[2] = (uint64_t)written;
    return 0;
}

/* C: SQLite */

/* A number of at most nine bytes, seven bits each, in the last one eight. Gives the end, or NULL. */
static inline const uint8_t *sqlite_varint(const uint8_t *p, const uint8_t *end, uint64_t *value) {
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) {
        if (p == end) return NULL;
        uint8_t byte = *p++;
        v = v << 7 | (byte & 0x7f);
        if (byte < 0x80) { *value = v; return p; }
    }
    if (p == end) return NULL;
    *value = v << 8 | *p++;
    return p;
}

struct page { const uint8_t *bytes; unsigned cells, pointers, interior; };

static inline int page_read(const struct image *image, uint32_t number, struct page *page) {
    unsigned start = number == 1 ? 100 : 0;
    page->bytes = block(image, ((uint64_t)number - 1) * 4096, 4096);
    if (!page->bytes) return 1;
    const uint8_t *head = page->bytes + start;
    if (head[0] != 5 && head[0] != 13) return 2;
    page->interior = head[0] == 5;
    page->cells = be16(head + 3);
    page->pointers = start + (page->interior ? 12 : 8);
    return page->pointers + 2 * page->cells > 4096 ? 2 : 0;
}

/* The rowid of a cell; `skip` is what stands before it: a child's number, or a payload's size. Gives the end, or NULL. */
static inline const uint8_t *page_rowid(const struct page *page, unsigned i, uint64_t *payload, int64_t *rowid) {
    unsigned at = be16(page->bytes + page->pointers + 2 * i);
    const uint8_t *end = page->bytes + 4096, *p = page->bytes + at;
    if (at > 4096) return NULL;
    if (page->interior) {
        if (end - p < 4) return NULL;
        p += 4;
    } else if (!(p = sqlite_varint(p, end, payload))) return NULL;
    return sqlite_varint(p, end, (uint64_t *)rowid);
}

uint64_t row(const struct image *image, const uint64_t *args, uint64_t *out) {
    uint32_t at = (uint32_t)args[0];
    int64_t rowid = (int64_t)args[1], found = 0;
    uint64_t payload = 0;
    struct page page;
    int bad = page_read(image, at, &page);
    out[0] = 0;
    for (int depth = 0; !bad; depth++) {
        unsigned lo = 0, hi = page.cells;
        while (lo < hi) {
            unsigned mid = (lo + hi) / 2;
            if (!page_rowid(&page, mid, &payload, &found)) return 2;
            if (found < rowid) lo = mid + 1; else hi = mid;
        }
        if (!page.interior) {
            if (lo == page.cells) return 0;
            const uint8_t *body = page_rowid(&page, lo, &payload, &found);
            if (!body) return 2;
            if (found != rowid) return 0;
            out[0] = 1;
            out[1] = at;
            out[2] = (uint64_t)(body - image->bytes);
            out[3] = payload;
            return 0;
        }
        if (depth == 20) return 3;
        if (lo < page.cells) {
            unsigned cell = be16(page.bytes + page.pointers + 2 * lo);
            if (cell > 4096 - 4) return 2;
            at = be32(page.bytes + cell);
        } else {
            at = be32(page.bytes + page.pointers - 4);
        }
        bad = page_read(image, at, &page);
    }
    return (uint64_t)bad;
}

/* D: a chain of blocks */

uint64_t chain(const struct image *image, const uint64_t *args, uint64_t *out) {
    uint64_t total = 0, at = args[0];
    for (int turn = 0; at != 0; turn++) {
        if (turn == 1 << 20) return 3;
        const uint8_t *link = block(image, at, 4096);
        if (!link) return 1;
        for (int i = 0; i < 64; i++) total += le64(link + 8 + 8 * i);
        at = le64(link);
    }
    out[0] = total;
    return 0;
}

/* E: LevelDB */

static inline const uint8_t *leb128(const uint8_t *p, const uint8_t *end, uint64_t *value) {
    uint64_t v = 0;
    if (p < end && *p < 0x80) { *value = *p; return p + 1; }
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (p >= end) return NULL;
        uint64_t byte = *p++;
        if (shift == 63 && byte > 1) return NULL;
        v |= (byte & 0x7f) << shift;
        if (byte < 0x80) { *value = v; return p; }
    }
    return NULL;
}

struct entry { uint64_t shared, unshared, value_length; const uint8_t *suffix, *value; };

static inline const uint8_t *entry_read(const uint8_t *p, const uint8_t *end, struct entry *e) {
    if (!(p = leb128(p, end, &e->shared))) return NULL;
    if (!(p = leb128(p, end, &e->unshared))) return NULL;
    if (!(p = leb128(p, end, &e->value_length))) return NULL;
    if (e->unshared > (uint64_t)(end - p)) return NULL;
    e->suffix = p;
    p += e->unshared;
    if (e->value_length > (uint64_t)(end - p)) return NULL;
    e->value = p;
    return p + e->value_length;
}

static inline int compare(const uint8_t *a, uint64_t a_len, const uint8_t *b, uint64_t b_len) {
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return order ? order : a_len < b_len ? -1 : a_len > b_len;
}

struct hit { int found, same; const uint8_t *value; uint64_t length; };

/* The first entry whose key, without its last eight bytes, is not before `key`. */
static inline int seek(const uint8_t *bytes, uint64_t size, const uint8_t *key, uint64_t key_len, struct hit *hit) {
    uint64_t count = le32(bytes + size - 4);
    if (count < 1 || 4 + 4 * count > size) return 2;
    const uint8_t *restarts = bytes + size - 4 - 4 * count, *end = restarts, *p;
    struct entry e;
    uint64_t lo = 0, hi = count;
    while (lo < hi) {
        uint64_t mid = (lo + hi) / 2, at = le32(restarts + 4 * mid);
        if (at > (uint64_t)(end - bytes) || !entry_read(bytes + at, end, &e)) return 2;
        if (e.shared != 0 || e.unshared < 8) return 2;
        if (compare(e.suffix, e.unshared - 8, key, key_len) < 0) lo = mid + 1; else hi = mid;
    }
    if (lo > 0) lo--;
    uint8_t k[64];
    uint64_t k_len = 0, at = le32(restarts + 4 * lo);
    if (at > (uint64_t)(end - bytes)) return 2;
    hit->found = 0;
    for (p = bytes + at; p < end;) {
        if (!(p = entry_read(p, end, &e))) return 2;
        if (e.shared > k_len || e.unshared > sizeof k - e.shared) return 2;
        memcpy(k + e.shared, e.suffix, e.unshared);
        k_len = e.shared + e.unshared;
        if (k_len < 8) return 2;
        int order = compare(k, k_len - 8, key, key_len);
        if (order >= 0) {
            *hit = (struct hit){1, order == 0, e.value, e.value_length};
            return 0;
        }
    }
    return 0;
}

uint64_t table(const struct image *image, const uint64_t *args, uint64_t *out) {
    uint64_t at = args[0], size = args[1], key_len = args[2];
    const uint8_t *key = (const uint8_t *)(args + 3), *end;
    struct hit hit;
    out[0] = 0;
    if (size < 4 || size > 16777216) return 4;
    const uint8_t *bytes = block(image, at, size);
    if (!bytes) return 1;
    int bad = seek(bytes, size, key, key_len, &hit);
    if (bad || !hit.found) return (uint64_t)bad;
    end = hit.value + hit.length;
    const uint8_t *p = leb128(hit.value, end, &at);
    if (!p || !leb128(p, end, &size)) return 2;
    if (size < 4 || size > 16777216) return 4;
    bytes = block(image, at, size);
    if (!bytes) return 1;
    bad = seek(bytes, size, key, key_len, &hit);
    if (bad || !hit.found || !hit.same) return (uint64_t)bad;
    out[0] = 1;
    out[1] = (uint64_t)(hit.value - image->bytes);
    out[2] = hit.length;
    return 0;
}
