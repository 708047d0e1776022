/* See scene.h for what is promised. */
#include "scene.h"

#include <stdlib.h>

enum {
    DIRECTIONS = VX_MULTICAST + 1,
    PLACES =
        DIRECTIONS * (VX_GENEVE + 1) * 2, /* of an interface without MACs: by direction, wear, loopback */
    FEWEST_INTERFACES = 8,
};

void vx_scene_init(vx_scene *scene, const vx_limits *most, uint64_t seed) {
    *scene = (vx_scene){.most_places = most->places, .most_underlays = most->tunnels};
    vx_map_init(&scene->interfaces, sizeof(vx_scene_row), seed);
    vx_map_init(&scene->places, sizeof(vx_place), seed);
    vx_map_init(&scene->underlays, sizeof(vx_underlay_key), seed);
}

void vx_scene_free(vx_scene *scene) {
    vx_map_free(&scene->interfaces);
    vx_map_free(&scene->places);
    vx_map_free(&scene->underlays);
    free(scene->usual_places);
    scene->usual_places = NULL;
}

/* Have room for one more, before anything is numbered that it would tell of: 0, or -1. */
static int reserve_news(vx_news_list *news) {
    if (news->count < news->capacity)
        return 0;
    size_t capacity = news->capacity > 0 ? news->capacity * 2 : 4;
    vx_news *grown = vx_resize(news->items, capacity, sizeof *grown);
    if (grown == NULL)
        return -1;
    news->items = grown;
    news->capacity = capacity;
    return 0;
}

static uint32_t intern_interface(vx_scene *scene, vx_scene_row *key, const char *name, uint32_t link_type) {
    /* As vx_tally_interface has it. */
    bool is_some = key->index >= 0 || key->interface >= 0;
    if (is_some && vx_is_too_many(&scene->interfaces, key, VX_SCENE_ROW_KEY, scene->most_places)) {
        key->index = key->interface = -1;
        name = NULL;
        scene->has_folded = true;
    }
    if (reserve_news(scene->news) < 0)
        return VX_NONE;
    bool made;
    uint32_t number = vx_map_intern(&scene->interfaces, key, VX_SCENE_ROW_KEY, &made);
    if (number == VX_NONE || !made)
        return number;
    scene->news->items[scene->news->count++] = (vx_news){.kind = VX_NEW_INTERFACE,
                                                         .interface = {.index = key->index,
                                                                       .input = key->input,
                                                                       .interface = key->interface,
                                                                       .name = (char *)name,
                                                                       .link_type = link_type}};
    return number;
}

uint32_t vx_scene_interface(vx_scene *scene, int64_t index, uint32_t input, uint32_t interface,
                            const char *name, uint32_t link_type) {
    vx_scene_row key = {.index = index, .input = -1, .interface = -1};
    if (link_type != VX_LINK_SLL2 && link_type != VX_LINK_SLL) {
        key.input = (int32_t)input;
        key.interface = (int32_t)interface;
    } else {
        name = NULL;
    }
    uint32_t mixed = (uint32_t)key.index + (uint32_t)key.input + (uint32_t)key.interface;
    uint32_t *recent = &scene->recent_interfaces[mixed % VX_RECENT_INTERFACES];
    if (*recent > 0 && vx_same(vx_scene_row_at(scene, *recent - 1), &key, VX_SCENE_ROW_KEY))
        return *recent - 1;
    uint32_t number = intern_interface(scene, &key, name, link_type);
    if (number != VX_NONE)
        *recent = number + 1;
    return number;
}

static uint32_t intern_place(vx_scene *scene, const vx_place *place) {
    vx_place key = *place;
    if (VX_RARELY(key.has_macs && scene->places_with_macs >= scene->most_places) &&
        vx_map_find(&scene->places, &key, VX_PLACE_KEY) == VX_NONE) {
        scene->has_folded = true;
        vx_place_forget_macs(&key);
    }
    if (reserve_news(scene->news) < 0)
        return VX_NONE;
    bool made;
    uint32_t number = vx_map_intern(&scene->places, &key, VX_PLACE_KEY, &made);
    if (number == VX_NONE || !made)
        return number;
    scene->places_with_macs += key.has_macs;
    scene->news->items[scene->news->count++] = (vx_news){.kind = VX_NEW_PLACE, .place = key};
    return number;
}

/* The row of an interface in `usual_places`; NULL: no memory. */
static inline uint32_t *usual_places_of(vx_scene *scene, uint32_t interface) {
    if (interface >= scene->usual_capacity) {
        uint32_t capacity = interface < FEWEST_INTERFACES ? FEWEST_INTERFACES : interface * 2;
        uint32_t *grown = vx_resize(scene->usual_places, capacity, PLACES * sizeof *grown);
        if (grown == NULL)
            return NULL;
        memset(grown + (size_t)scene->usual_capacity * PLACES, 0,
               (size_t)(capacity - scene->usual_capacity) * PLACES * sizeof *grown);
        scene->usual_places = grown;
        scene->usual_capacity = capacity;
    }
    return scene->usual_places + (size_t)interface * PLACES;
}

uint32_t vx_scene_place(vx_scene *scene, uint32_t interface, const vx_frame *frame, uint8_t wear,
                        bool loopback) {
    uint8_t direction = frame->traits->direction;
    vx_place place = {.interface = interface, .direction = direction, .wear = wear, .loopback = loopback};
    if (frame->macs != NULL) {
        place.has_macs = true;
        memcpy(place.macs, frame->macs, sizeof place.macs);
        return intern_place(scene, &place);
    }
    uint32_t *places = usual_places_of(scene, interface);
    if (places == NULL)
        return VX_NONE;
    uint32_t *number_up1 = &places[(direction * (VX_GENEVE + 1) + wear) * 2 + loopback];
    if (*number_up1 == 0) {
        uint32_t number = intern_place(scene, &place);
        if (number == VX_NONE)
            return VX_NONE;
        *number_up1 = number + 1;
    }
    return *number_up1 - 1;
}

static uint32_t intern_underlay(vx_scene *scene, vx_underlay_key *key) {
    if (vx_is_too_many(&scene->underlays, key, sizeof *key, scene->most_underlays))
        vx_underlay_forget_ends(key);
    if (reserve_news(scene->news) < 0)
        return VX_NONE;
    bool made;
    uint32_t number = vx_map_intern(&scene->underlays, key, sizeof *key, &made);
    if (number == VX_NONE || !made)
        return number;
    scene->news->items[scene->news->count++] = (vx_news){.kind = VX_NEW_UNDERLAY, .underlay = *key};
    return number;
}

uint32_t vx_scene_other_underlay(vx_scene *scene, vx_outer outer, vx_recent_underlay *set) {
    vx_recent_underlay found = vx_underlay_wanted(outer);
    if (vx_is_recent_underlay(scene, &set[1], &found, outer)) {
        found.number_up1 = set[1].number_up1;
    } else {
        vx_underlay_key key = {
            .destination_port = outer.destination_port, .wear = outer.wear, .size = outer.ipv6 ? 16 : 4};
        memcpy(key.addresses, outer.addresses, outer.ipv6 ? 32 : 8);
        uint32_t number = intern_underlay(scene, &key);
        if (number == VX_NONE)
            return VX_NONE;
        found.number_up1 = number + 1;
    }
    set[1] = set[0];
    set[0] = found;
    return found.number_up1 - 1;
}
