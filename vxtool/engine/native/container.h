/* Capture containers: pcap and pcapng bytes in, records out.
 *
 * A push parser without I/O, the twin of vxtool/capture/container.py: for every input, however it is cut into
 * offers, both give the same records, interfaces and names, and stop at the same place for the same reason.
 *
 * Bytes are offered, then records are taken until there are none:
 *
 *     vx_container_offer(container, data, length);
 *     while ((status = vx_container_next(container, &record)) == 1)
 *         use(&record);
 *     ... more offers ...
 *     vx_container_end(container);
 *     status = vx_container_next(container, &record);     0: all was well, -1: see vx_container_damage()
 *
 * Offered bytes stay the caller's. A record that lies whole within one offer is pointed to, not copied; one
 * that spans offers is put together in a buffer of the container, which grows as bytes arrive and never by
 * what a length field claims. A container holds at most one block (VX_MAX_BLOCK) of bytes, VX_MAX_INTERFACES
 * interfaces and VX_MAX_NAMES names, and, after a detach, what was left of that offer. */
#ifndef VXTOOL_CONTAINER_H
#define VXTOOL_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The limits, equal to those of vxtool/capture/container.py. Text is in bytes, without its end. */
enum {
    VX_MAX_RECORD = 1 << 24,
    VX_MAX_BLOCK = 1 << 25,
    VX_MAX_INTERFACES = 1 << 16,
    VX_MAX_NAMES = 1 << 16,
    VX_MAX_TEXT = 255,
};

/* Why reading stopped, in the order of vxtool/capture/damage.py, where each has its sentence. */
typedef enum {
    VX_DAMAGE_NONE,
    VX_DAMAGE_EMPTY,
    VX_DAMAGE_NOT_CAPTURE,
    VX_DAMAGE_MODIFIED_PCAP,
    VX_DAMAGE_BAD_VERSION,
    VX_DAMAGE_CUT_HEADER,
    VX_DAMAGE_CUT_RECORD,
    VX_DAMAGE_BAD_RECORD_LENGTH,
    VX_DAMAGE_BAD_BLOCK_LENGTH,
    VX_DAMAGE_BAD_BLOCK_TRAILER,
    VX_DAMAGE_BAD_BYTE_ORDER,
    VX_DAMAGE_SHORT_BLOCK,
    VX_DAMAGE_BAD_OPTION,
    VX_DAMAGE_UNKNOWN_INTERFACE,
    VX_DAMAGE_TOO_MANY_INTERFACES,
    VX_DAMAGE_NO_MEMORY,
} vx_damage_code;

/* Damage at offset 0 means that the input could not be read at all; later, that it was cut short there. */
typedef struct {
    vx_damage_code code; /* VX_DAMAGE_NONE while all is well */
    uint64_t offset;     /* of the header, record or block that is damaged, in bytes from the start */
    uint64_t record;     /* complete records before it */
    uint32_t value;      /* what was there, and */
    uint32_t expected;   /* what should have been: their meaning is the code's */
} vx_damage;

typedef enum {
    VX_FORMAT_UNKNOWN,
    VX_FORMAT_PCAP,
    VX_FORMAT_PCAP_NS,
    VX_FORMAT_PCAPNG,
} vx_format;

/* What the container says of a record's direction. pcap says nothing. */
enum {
    VX_DIRECTION_UNKNOWN,
    VX_DIRECTION_IN,
    VX_DIRECTION_OUT,
    VX_DIRECTION_FOREIGN, /* seen, but not addressed to this machine */
    VX_DIRECTION_IN_BROADCAST,
    VX_DIRECTION_IN_MULTICAST,
};

typedef struct {
    int64_t time_ns;     /* since 1970-01-01 UTC, clamped to what 64 bits hold */
    const uint8_t *data; /* the captured bytes: borrowed until the next call on the container */
    uint32_t captured;   /* how many they are */
    uint32_t length;     /* of the packet on the wire, as the file has it */
    uint32_t interface;  /* index for vx_container_interface */
    uint8_t direction;
} vx_record;

typedef struct {
    uint32_t link_type;
    uint32_t snaplen; /* 0: no limit */
    char *name;       /* if_name as it was, ends with NUL, owned by the container; NULL: none */
    uint64_t dropped; /* isb_ifdrop of the last interface statistics, where has_dropped */
    bool has_dropped;
    uint8_t resolution;     /* if_tsresol: 10^-n s, or 2^-n s with the top bit set */
    int64_t offset_seconds; /* if_tsoffset */
} vx_interface;

/* One entry of a name resolution block. */
typedef struct {
    uint8_t family;      /* 4 or 6 */
    uint8_t address[16]; /* the first 4 bytes for family 4 */
    char *name;          /* as it was, ends with NUL, owned by the container */
} vx_name;

typedef struct vx_container vx_container;

/* NULL where there is no memory. */
vx_container *vx_container_new(void);
/* NULL is allowed. */
void vx_container_free(vx_container *container);

/* Give the next bytes of the input. They must stay until vx_container_next gave 0 or -1, or until
 * vx_container_detach; only then may the next ones be offered. */
void vx_container_offer(vx_container *container, const uint8_t *data, size_t length);

/* 1: *record is the next one. 0: all offered bytes are used, more are needed (after the end: there is nothing
 * more, and all was well). -1: stopped, for the reason that vx_container_damage tells; so is every later
 * call. */
int vx_container_next(vx_container *container, vx_record *record);

/* The next records, as many as come without a wait and at most `most`, which is not 0: how many. 0: none, and
 * vx_container_next would not answer 1. They all are borrowed until the next call. */
size_t vx_container_next_few(vx_container *container, vx_record *records, size_t most);

/* Copy what is still unread, so that the offered bytes may go away. 0, or -1: no memory, stopped. */
int vx_container_detach(vx_container *container);

/* No more bytes will come: what is left of a header or record is damage. Known at once where
 * vx_container_next gave 0 before, else after it has given 0 or -1. */
void vx_container_end(vx_container *container);

vx_format vx_container_format(const vx_container *container);
const vx_damage *vx_container_damage(const vx_container *container);
/* Blocks of pcapng that hold nonsense between two lengths that agree: reading went on behind them; and what
 * was wrong with the first. */
uint64_t vx_container_skipped(const vx_container *container);
const vx_damage *vx_container_first_skipped(const vx_container *container);
/* Complete records given so far. */
uint64_t vx_container_records(const vx_container *container);
/* Bytes of the input that complete headers, records and blocks so far have taken. */
uint64_t vx_container_offset(const vx_container *container);

/* Interfaces in the order of their description, over all sections. A pointer is good until the next call of
 * vx_container_next; NULL where there is no such index. */
uint32_t vx_container_interface_count(const vx_container *container);
const vx_interface *vx_container_interface(const vx_container *container, uint32_t index);
/* Take over what another container, of an earlier part of the same capture, says of interfaces by the same
 * index of which this one has no statistics, and what that one skipped. */
void vx_container_inherit(vx_container *container, const vx_container *earlier);
/* Names in the order of the file, an address as often as it has one. */
uint32_t vx_container_name_count(const vx_container *container);
const vx_name *vx_container_name(const vx_container *container, uint32_t index);

#endif
