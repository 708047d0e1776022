/* Where records are seen, as the half of the engine that reads them knows it.
 *
 * Interfaces, places and underlays are numbered from 0 in the order in which they are first met. The half
 * that counts has numbers of its own for them, since it may run in another thread: it learns of each new one
 * by a vx_news, in the same order.
 *
 * Functions that give a number answer VX_NONE where there was no memory. */
#ifndef VXTOOL_SCENE_H
#define VXTOOL_SCENE_H

#include "tally.h"

/* One that was not met before: as vx_tally_interface, vx_tally_place and vx_tally_underlay want it, but that
 * a place has the scene's number of its interface. */
typedef struct {
    enum { VX_NEW_INTERFACE, VX_NEW_PLACE, VX_NEW_UNDERLAY } kind;
    vx_interface_row interface; /* without counts; its name is the container's */
    vx_place place;
    vx_underlay_key underlay;
} vx_news;

typedef struct {
    vx_news *items;
    size_t count;
    size_t capacity;
} vx_news_list;

typedef struct {
    int64_t index; /* SLL2 index, or -1 */
    int32_t input; /* -1 where an index tells interfaces apart, or nothing does */
    int32_t interface;
    /* end of the key */
    uint64_t records[3]; /* in, out, unknown */
} vx_scene_row;
enum { VX_SCENE_ROW_KEY = 16 };

/* An underlay that was met lately. IPv4's is told by this alone. */
typedef struct {
    uint64_t addresses;  /* of IPv4 both, of IPv6 the last half of the destination's */
    uint32_t rest;       /* what else tells it apart, in one word */
    uint32_t number_up1; /* 0: nothing here */
} vx_recent_underlay;

/* The sets of those have two each: with one each, 32 of them met so often that every tenth record had to look
 * one up. */
enum { VX_RECENT_INTERFACES = 16, VX_RECENT_UNDERLAY_BITS = 9 };

typedef struct {
    uint64_t most_places;    /* with MACs, and interfaces: those beyond are taken for others, as are */
    uint64_t most_underlays; /* those beyond these */
    uint64_t places_with_macs;
    bool has_folded;                                  /* any place or interface was taken for another */
    vx_map interfaces;                                /* of vx_scene_row */
    vx_map places;                                    /* of vx_place */
    vx_map underlays;                                 /* of vx_underlay_key */
    uint32_t recent_interfaces[VX_RECENT_INTERFACES]; /* number + 1; 0: nothing here */
    vx_recent_underlay recent_underlays[1 << VX_RECENT_UNDERLAY_BITS][2];
    uint32_t *usual_places;  /* of each interface those without MACs: number + 1; 0: not yet met */
    uint32_t usual_capacity; /* interfaces */
    vx_news_list *news;      /* where new ones are told */
} vx_scene;

void vx_scene_init(vx_scene *scene, const vx_limits *most, uint64_t seed);
void vx_scene_free(vx_scene *scene);

/* The interface that a record was captured on: by its SLL2 index where it has one (else -1), else, where the
 * link type tells no interfaces apart, by input and interface in it. `name`: as the container has it, or
 * NULL. */
uint32_t vx_scene_interface(vx_scene *scene, int64_t index, uint32_t input, uint32_t interface,
                            const char *name, uint32_t link_type);
/* The place of that interface where a frame was seen, with this wear. */
uint32_t vx_scene_place(vx_scene *scene, uint32_t interface, const vx_frame *frame, uint8_t wear,
                        bool loopback);
/* The underlay of a tunnel's packet, which is not the first of this set: it is put there. */
uint32_t vx_scene_other_underlay(vx_scene *scene, vx_outer outer, vx_recent_underlay *set);

/* What an underlay is looked up by. */
static inline vx_recent_underlay vx_underlay_wanted(vx_outer outer) {
    return (vx_recent_underlay){
        .addresses = vx_load64(outer.addresses + (outer.ipv6 ? 24 : 0)),
        .rest = (uint32_t)outer.destination_port << 16 | (uint32_t)outer.wear << 1 | (uint32_t)outer.ipv6,
    };
}

/* Whether it is the one met lately. */
static inline bool vx_is_recent_underlay(const vx_scene *scene, const vx_recent_underlay *recent,
                                         const vx_recent_underlay *wanted, vx_outer outer) {
    if (recent->addresses != wanted->addresses || recent->rest != wanted->rest || recent->number_up1 == 0)
        return false;
    if (!outer.ipv6)
        return true;
    const vx_underlay_key *row = vx_pool_item(&scene->underlays.pool, recent->number_up1 - 1, sizeof *row);
    return row->size == 16 && vx_same(row->addresses, outer.addresses, 24); /* 0: of all beyond the limit */
}

static inline uint32_t vx_scene_underlay(vx_scene *scene, vx_outer outer) {
    vx_recent_underlay wanted = vx_underlay_wanted(outer);
    uint64_t hash = (wanted.addresses ^ wanted.rest) * UINT64_C(0x9e3779b97f4a7c15);
    vx_recent_underlay *set = scene->recent_underlays[hash >> (64 - VX_RECENT_UNDERLAY_BITS)];
    if (vx_is_recent_underlay(scene, set, &wanted, outer))
        return set->number_up1 - 1;
    return vx_scene_other_underlay(scene, outer, set);
}

static inline vx_scene_row *vx_scene_row_at(const vx_scene *scene, uint32_t number) {
    return vx_pool_item(&scene->interfaces.pool, number, sizeof(vx_scene_row));
}

#endif
