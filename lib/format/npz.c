// SPDX-License-Identifier: Apache-2.0
// The directory of a ZIP archive (PKWARE's APPNOTE.TXT, sections 4.3.7 to 4.3.16, and ZIP64 in 4.5.3).
#include "format/npz.h"

#include <inttypes.h>
#include <string.h>

#define LOCAL_HEADER 30
#define DIRECTORY_ENTRY 46
#define DIRECTORY_END 22
#define LONGEST_COMMENT 65535
#define DIRECTORY_END_64 56
#define LOCATOR_64 20

static const unsigned char local_magic[4] = {'P', 'K', 3, 4};
static const unsigned char entry_magic[4] = {'P', 'K', 1, 2};
static const unsigned char end_magic[4] = {'P', 'K', 5, 6};
static const unsigned char end_64_magic[4] = {'P', 'K', 6, 6};
static const unsigned char locator_64_magic[4] = {'P', 'K', 6, 7};

// The archive and where its directory lies.
typedef struct archive {
    const unsigned char *data;
    uint64_t bytes;
    uint64_t entries;
    uint64_t directory; // offset
} archive;

static uint64_t little(const unsigned char *at, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; ++i) value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static bool has_room(const archive *zip, uint64_t offset, uint64_t bytes) {
    return offset <= zip->bytes && bytes <= zip->bytes - offset;
}

static bool begins_with(const unsigned char *at, const unsigned char magic[4]) {
    return memcmp(at, magic, 4) == 0;
}

bool tsl_npz_detect(const void *data, size_t bytes) {
    return bytes >= 4 && (begins_with(data, local_magic) || begins_with(data, end_magic));
}

// The end record lies at the end of the file, before a comment of unknown length.
static tslim_status find_directory(archive *zip) {
    uint64_t lowest =
        zip->bytes > DIRECTORY_END + LONGEST_COMMENT ? zip->bytes - DIRECTORY_END - LONGEST_COMMENT : 0;
    TSL_REQUIRE(
        zip->bytes >= DIRECTORY_END, TSLIM_ERROR_BAD_FILE, "a ZIP archive of %" PRIu64 " bytes", zip->bytes);
    uint64_t end = zip->bytes - DIRECTORY_END;
    while (!begins_with(zip->data + end, end_magic)) {
        TSL_REQUIRE(end > lowest, TSLIM_ERROR_BAD_FILE, "a ZIP archive without a directory: is it cut off?");
        --end;
    }
    zip->entries = little(zip->data + end + 10, 2);
    zip->directory = little(zip->data + end + 16, 4);
    if (end >= LOCATOR_64 && begins_with(zip->data + end - LOCATOR_64, locator_64_magic)) {
        uint64_t end_64 = little(zip->data + end - LOCATOR_64 + 8, 8);
        TSL_REQUIRE(has_room(zip, end_64, DIRECTORY_END_64) && begins_with(zip->data + end_64, end_64_magic),
            TSLIM_ERROR_BAD_FILE, "a ZIP64 archive whose directory's end is not at %" PRIu64, end_64);
        zip->entries = little(zip->data + end_64 + 32, 8);
        zip->directory = little(zip->data + end_64 + 48, 8);
    }
    return TSLIM_OK;
}

// A size or offset of 32 bits, or the next number of the ZIP64 extra field where it is all ones.
static bool wide(const unsigned char *narrow, const unsigned char **extra, const unsigned char *extra_end,
    uint64_t *value) {
    *value = little(narrow, 4);
    if (*value != UINT32_MAX) return true;
    if (!*extra || extra_end - *extra < 8) return false;
    *value = little(*extra, 8);
    *extra += 8;
    return true;
}

// Finds the ZIP64 numbers among the extra fields; *begin stays NULL when there are none.
static void find_extra_64(
    const unsigned char *at, size_t length, const unsigned char **begin, const unsigned char **end) {
    *begin = *end = NULL;
    while (length >= 4) {
        size_t size = (size_t)little(at + 2, 2);
        if (size > length - 4) return;
        if (little(at, 2) == 1) {
            *begin = at + 4;
            *end = at + 4 + size;
            return;
        }
        at += 4 + size;
        length -= 4 + size;
    }
}

// The data follows the local header, whose own name and extra fields may be longer than the directory's.
static tslim_status find_data(const archive *zip, uint64_t local, tsl_npz_member *member) {
    TSL_REQUIRE(has_room(zip, local, LOCAL_HEADER) && begins_with(zip->data + local, local_magic),
        TSLIM_ERROR_BAD_FILE, "member '%.*s': no header at %" PRIu64, (int)member->name_length, member->name,
        local);
    const unsigned char *header = zip->data + local;
    member->offset = local + LOCAL_HEADER + little(header + 26, 2) + little(header + 28, 2);
    TSL_REQUIRE(has_room(zip, member->offset, member->encoded), TSLIM_ERROR_BAD_FILE,
        "member '%.*s': %" PRIu64 " bytes at %" PRIu64 " of a file of %" PRIu64, (int)member->name_length,
        member->name, member->encoded, member->offset, zip->bytes);
    TSL_REQUIRE(member->deflated || member->encoded == member->bytes, TSLIM_ERROR_BAD_FILE,
        "member '%.*s': stored in %" PRIu64 " bytes, but has %" PRIu64, (int)member->name_length,
        member->name, member->encoded, member->bytes);
    return TSLIM_OK;
}

static tslim_status read_entry(const archive *zip, uint64_t *offset, tsl_npz_callback callback, void *user) {
    static const char ending[4] = {'.', 'n', 'p', 'y'};
    TSL_REQUIRE(has_room(zip, *offset, DIRECTORY_ENTRY) && begins_with(zip->data + *offset, entry_magic),
        TSLIM_ERROR_BAD_FILE, "no ZIP directory entry at %" PRIu64, *offset);
    const unsigned char *entry = zip->data + *offset;
    size_t name_length = (size_t)little(entry + 28, 2), extra_length = (size_t)little(entry + 30, 2);
    uint64_t length = DIRECTORY_ENTRY + name_length + extra_length + little(entry + 32, 2);
    TSL_REQUIRE(has_room(zip, *offset, length), TSLIM_ERROR_BAD_FILE,
        "the ZIP directory is cut off at %" PRIu64, *offset);
    *offset += length;
    tsl_npz_member member = {.name = (const char *)entry + DIRECTORY_ENTRY, .name_length = name_length};
    if (name_length <= sizeof ending ||
        memcmp(member.name + name_length - sizeof ending, ending, sizeof ending) != 0) {
        return TSLIM_OK; // not an array
    }
    member.name_length -= sizeof ending;
    uint64_t flags = little(entry + 8, 2), method = little(entry + 10, 2);
    TSL_REQUIRE((flags & 1) == 0, TSLIM_ERROR_UNSUPPORTED, "member '%.*s' is encrypted",
        (int)member.name_length, member.name);
    TSL_REQUIRE(method == 0 || method == 8, TSLIM_ERROR_UNSUPPORTED,
        "member '%.*s': compression method %" PRIu64 " is neither stored nor deflated",
        (int)member.name_length, member.name, method);
    member.deflated = method == 8;
    const unsigned char *extra, *extra_end;
    uint64_t local;
    find_extra_64(entry + DIRECTORY_ENTRY + name_length, extra_length, &extra, &extra_end);
    TSL_REQUIRE(wide(entry + 24, &extra, extra_end, &member.bytes) &&
                    wide(entry + 20, &extra, extra_end, &member.encoded) &&
                    wide(entry + 42, &extra, extra_end, &local),
        TSLIM_ERROR_BAD_FILE, "member '%.*s': its ZIP64 sizes are missing", (int)member.name_length,
        member.name);
    TSL_TRY(find_data(zip, local, &member));
    return callback(user, &member);
}

tslim_status tsl_npz_walk(const void *data, size_t bytes, tsl_npz_callback callback, void *user) {
    archive zip = {.data = data, .bytes = bytes};
    TSL_TRY(find_directory(&zip));
    uint64_t offset = zip.directory;
    for (uint64_t i = 0; i < zip.entries; ++i) TSL_TRY(read_entry(&zip, &offset, callback, user));
    return TSLIM_OK;
}
