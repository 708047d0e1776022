/* The reader of captures, pcap and pcapng alike: read whole, in cuts, one by one and few by few, it gives the
 * same records, and never more than are there. The build for one format refuses the other (ONLY_PCAP,
 * ONLY_PCAPNG). */
#include "cases.h"
#include "container.h"
#include "must.h"
#include "table.h"

/* All that a container told, in one number for what it may be long. */
typedef struct {
    uint64_t records;
    uint64_t hash; /* of records, interfaces and names */
    uint64_t offset;
    vx_damage damage;
    vx_format format;
} told;

static void check_record(const vx_container *container, const vx_record *record) {
    MUST(record->captured <= VX_MAX_RECORD);
    MUST(record->direction <= VX_DIRECTION_IN_MULTICAST);
    MUST(record->interface < vx_container_interface_count(container));
}

static void add_record(told *sum, const vx_record *record) {
    const uint64_t words[] = {(uint64_t)record->time_ns, record->captured, record->length, record->interface,
                              record->direction};
    sum->records++;
    sum->hash = vx_hash(record->data, record->captured, vx_hash(words, sizeof words, sum->hash));
}

static void add_text(told *sum, const char *text) {
    size_t length = text != NULL ? strlen(text) : 0;
    MUST(length <= VX_MAX_TEXT);
    sum->hash = vx_hash(text, length, sum->hash + (text != NULL));
}

static void add_the_rest(told *sum, const vx_container *container) {
    uint32_t interfaces = vx_container_interface_count(container), names = vx_container_name_count(container);
    MUST(interfaces <= VX_MAX_INTERFACES && names <= VX_MAX_NAMES);
    MUST(vx_container_interface(container, interfaces) == NULL &&
         vx_container_name(container, names) == NULL);
    for (uint32_t i = 0; i < interfaces; i++) {
        const vx_interface *row = vx_container_interface(container, i);
        const uint64_t words[] = {row->link_type,   row->snaplen,    row->has_dropped ? row->dropped : 0,
                                  row->has_dropped, row->resolution, (uint64_t)row->offset_seconds};
        sum->hash = vx_hash(words, sizeof words, sum->hash);
        add_text(sum, row->name);
    }
    for (uint32_t i = 0; i < names; i++) {
        const vx_name *row = vx_container_name(container, i);
        MUST(row->family == 4 || row->family == 6);
        sum->hash = vx_hash(row->address, row->family == 4 ? 4 : 16, sum->hash);
        add_text(sum, row->name);
    }
    sum->offset = vx_container_offset(container);
    sum->format = vx_container_format(container);
    sum->damage = *vx_container_damage(container);
    MUST(vx_container_records(container) == sum->records);
}

/* Take what there is; 0 or -1 as vx_container_next has it. */
static int take(vx_container *container, told *sum, uint64_t *state) {
    vx_record records[5];
    int status;
    for (;;) {
        size_t most = state != NULL ? chance(state, 6) : 0;
        if (most > 0) {
            size_t count = vx_container_next_few(container, records, most);
            MUST(count <= most);
            for (size_t i = 0; i < count; i++) {
                check_record(container, &records[i]);
                add_record(sum, &records[i]);
            }
            if (count > 0)
                continue;
        }
        if ((status = vx_container_next(container, records)) != 1)
            return status;
        check_record(container, records);
        add_record(sum, records);
    }
}

static void finish(vx_container *container, told *sum, int status) {
    vx_container_end(container);
    vx_record record;
    MUST(vx_container_next(container, &record) <= status);
    MUST(vx_container_next_few(container, &record, 1) == 0);
    add_the_rest(sum, container);
    vx_container_free(container);
}

static told read_whole(const uint8_t *bytes, size_t size) {
    told sum = {0};
    vx_container *container = vx_container_new();
    MUST(container != NULL);
    vx_container_offer(container, bytes, size);
    int status = take(container, &sum, NULL);
    finish(container, &sum, status);
    return sum;
}

/* Each piece lies in a block of its own size, which goes away early where it is detached. */
static told read_in_cuts(const uint8_t *bytes, size_t size, uint64_t state) {
    told sum = {0};
    vx_container *container = vx_container_new();
    MUST(container != NULL);
    uint32_t most = 1 + chance(&state, chance(&state, 2) ? 40 : 3000);
    int status = 0;
    for (size_t at = 0; at < size && status == 0;) {
        size_t length = 1 + chance(&state, most);
        length = length < size - at ? length : size - at;
        uint8_t *piece = malloc(length);
        memcpy(piece, bytes + at, length);
        vx_container_offer(container, piece, length);
        if (chance(&state, 3) == 0) {
            vx_record record;
            if (chance(&state, 2) && vx_container_next(container, &record) == 1)
                add_record(&sum, &record);
            MUST(vx_container_detach(container) == 0 ||
                 vx_container_damage(container)->code != VX_DAMAGE_NONE);
            memset(piece, 0xa5, length);
            free(piece);
            piece = NULL;
        }
        status = take(container, &sum, &state);
        free(piece);
        at += length;
    }
    finish(container, &sum, status);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < FRONT)
        return 0;
    const uint8_t *bytes = data + FRONT;
    size -= FRONT;
    bool ng = size > 4 && memcmp(bytes, "\n\r\r\n", 4) == 0;
#ifdef ONLY_PCAP
    if (ng)
        return 0;
#endif
#ifdef ONLY_PCAPNG
    if (!ng)
        return 0;
#endif
    (void)ng;
    uint32_t seed;
    memcpy(&seed, data + 8, sizeof seed);
    told whole = read_whole(bytes, size), cut = read_in_cuts(bytes, size, seed);
    MUST(whole.offset <= size && whole.damage.offset <= size && whole.records <= size / PCAP_RECORD);
    MUST(whole.damage.code != VX_DAMAGE_NO_MEMORY);
    MUST(whole.damage.code != VX_DAMAGE_NONE || whole.offset == size);
    MUST(whole.damage.code == VX_DAMAGE_NONE || whole.damage.record == whole.records);
    MUST(whole.records == cut.records && whole.hash == cut.hash && whole.offset == cut.offset);
    MUST(whole.format == cut.format && whole.damage.code == cut.damage.code);
    MUST(whole.damage.offset == cut.damage.offset && whole.damage.record == cut.damage.record);
    MUST(whole.damage.value == cut.damage.value && whole.damage.expected == cut.damage.expected);
    return 0;
}
