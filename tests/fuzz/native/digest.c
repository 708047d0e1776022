#include "digest.h"

#include "must.h"

static uint64_t join(uint64_t hash, uint64_t word) {
    return vx_mix(hash ^ UINT64_C(0x243f6a8885a308d3), word ^ UINT64_C(0x13198a2e03707345));
}

static uint64_t bytes_of(uint64_t hash, const void *bytes, size_t size) { return vx_hash(bytes, size, hash); }

static uint64_t of_samples(uint64_t hash, const vx_samples *samples) {
    for (unsigned i = 0; i < samples->count; i++)
        hash = join(join(hash, (uint64_t)samples->samples[i].time), samples->samples[i].where);
    return join(hash, samples->count);
}

static uint64_t of_interface(const vx_tally *tally, uint32_t number) {
    return bytes_of(1, vx_map_at(&tally->interfaces, number), VX_INTERFACE_KEY);
}

static uint64_t of_place(const vx_tally *tally, uint64_t number) {
    const vx_place *place = vx_map_at(&tally->places, (uint32_t)number);
    uint64_t hash = join(of_interface(tally, place->interface), place->direction);
    hash = join(join(hash, place->wear), (uint64_t)place->loopback << 1 | place->has_macs);
    return place->has_macs ? bytes_of(hash, place->macs, sizeof place->macs) : hash;
}

static uint64_t of_path(const vx_tally *tally, uint32_t number) {
    const vx_path *path = vx_map_at(&tally->paths, number);
    uint64_t hash = join(path->count, path->flags);
    for (uint32_t i = 0; i < path->count; i++)
        hash = join(of_place(tally, path->stages[i] >> 2), hash + (path->stages[i] & 3));
    return hash;
}

static uint64_t of_ends(const vx_ends *ends, int32_t vni) {
    uint64_t word = vx_word_of_ends(ends->source_port, ends->destination_port, ends->fragment_offset,
                                    ends->protocol, ends->shape);
    return bytes_of(join(word, (uint32_t)vni), ends->addresses, sizeof ends->addresses);
}

static uint64_t of_flow(const vx_tally *tally, uint32_t number) {
    if (number == VX_OTHER_FLOWS)
        return 7;
    const vx_flow *flow = vx_map_at(&tally->flows, number);
    return of_ends(&flow->ends, flow->vni);
}

static uint64_t of_underlay(const vx_tally *tally, uint32_t number) {
    if (number == VX_NONE)
        return 5;
    const vx_underlay_key *key = &((const vx_underlay *)vx_map_at(&tally->underlays, number))->key;
    uint64_t hash = join(key->destination_port, (uint64_t)key->wear << 8 | key->size);
    return bytes_of(hash, key->addresses, 2 * (size_t)key->size);
}

static uint64_t of_cell(const vx_tally *tally, uint32_t number) {
    const vx_cell *cell = vx_cell_at(tally, number);
    vx_wire wire = vx_cell_wire(tally, number);
    vx_samples samples = vx_cell_samples(tally, number);
    const uint64_t words[] = {cell->datagrams, cell->inner_bytes,        cell->outer_bytes, wire.packets,
                              wire.bytes,      wire.egress_packets,      wire.fragmented,   cell->smallest,
                              cell->largest,   (uint64_t)cell->last_time};
    uint64_t hash = join(of_flow(tally, cell->flow), of_path(tally, cell->path));
    return of_samples(bytes_of(hash, words, sizeof words), &samples);
}

static void add_flow(const vx_tally *tally, uint32_t number, digest *sum) {
    const vx_flow *flow = vx_map_at(&tally->flows, number);
    const uint64_t words[] = {(uint64_t)flow->first.time,
                              flow->first.where,
                              flow->tcp_flags,
                              flow->mss,
                              flow->options,
                              flow->data_bytes,
                              flow->segment,
                              flow->ports_seen,
                              flow->ports_seen == 1 ? flow->port : 0,
                              flow->tcp_flags & 0x10 ? flow->acknowledged : 0};
    uint64_t key = join(of_flow(tally, number), of_underlay(tally, flow->underlay));
    sum->flows += bytes_of(key, words, sizeof words);
    sum->ranges += bytes_of(join(key, flow->ranges_folded), vx_flow_ranges(flow),
                            flow->range_count * 2 * sizeof(int64_t));
}

static void add_latencies(const vx_tally *tally, uint32_t number, digest *sum) {
    const vx_latencies *row = ((const vx_path *)vx_map_at(&tally->paths, number))->latencies;
    if (row == NULL)
        return;
    uint64_t key = of_path(tally, number), exact = 0, buckets = 0;
    for (uint64_t i = 0; row->exact != NULL && i < row->count; i++)
        exact += join(row->exact[i], 3);
    for (unsigned page = 0; page < VX_LATENCY_PAGES; page++)
        for (unsigned i = 0; row->pages[page] != NULL && i < 64; i++)
            buckets += join(page * 64 + i, 9) * row->pages[page][i];
    const uint64_t words[] = {row->count,   row->total, row->carried, row->smallest,
                              row->largest, exact,      buckets};
    sum->latencies += bytes_of(key, words, sizeof words);
}

static void add_tunnel(const vx_tally *tally, uint32_t number, digest *sum) {
    const vx_underlay *row = vx_map_at(&tally->underlays, number);
    if (row->datagrams == 0)
        return;
    uint64_t ports = 0;
    for (uint32_t i = 0; row->ports == NULL && i < row->few_ports; i++)
        ports += join(row->few[i], 11);
    for (uint32_t port = 0; row->ports != NULL && port < 65536; port++)
        if (row->ports[port >> 6] >> (port & 63) & 1)
            ports += join(port, 11);
    const uint64_t words[] = {row->datagrams, row->outer_bytes, (uint64_t)row->first.time, row->first.where,
                              ports};
    sum->tunnels += bytes_of(of_underlay(tally, number), words, sizeof words);
}

static uint64_t of_counts(const vx_map *counts, uint64_t kind) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < vx_map_count(counts); i++) {
        const vx_count *row = vx_map_at(counts, i);
        sum += join(row->key, kind) * row->count;
    }
    return sum;
}

static void add_large(const vx_tally *tally, uint32_t number, digest *sum) {
    const vx_large *row = vx_map_at(&tally->large, number);
    uint64_t key = join(of_flow(tally, row->flow), vx_word_of(row->outer_length, row->inner_length));
    sum->large += join(key, row->payload_length) * row->count;
}

static void add_too_big(const vx_tally *tally, uint32_t number, digest *sum) {
    const vx_too_big *row = vx_map_at(&tally->too_big, number);
    const uint64_t words[] = {
        row->mtu,     row->tunnelled,  row->version,    row->quoted_version, row->wear,
        row->largest, row->records[0], row->records[1], row->records[2],     (uint64_t)row->last_time};
    uint64_t hash = bytes_of(of_ends(&row->flow, row->vni), words, sizeof words);
    hash = bytes_of(bytes_of(hash, row->addresses, sizeof row->addresses), row->quoted, sizeof row->quoted);
    sum->odd += of_samples(hash, &row->samples);
}

static void add_odd(const vx_tally *tally, digest *sum) {
    for (uint32_t i = 0; i < vx_map_count(&tally->wrong); i++) {
        const vx_count *row = vx_map_at(&tally->wrong, i);
        sum->odd += join(of_underlay(tally, (uint32_t)row->key), 17) * row->count;
    }
    for (uint32_t i = 0; i < vx_map_count(&tally->fragments); i++) {
        const vx_count *row = vx_map_at(&tally->fragments, i);
        const vx_place *place = vx_map_at(&tally->places, (uint32_t)(row->key >> 32));
        uint64_t key =
            join(of_interface(tally, place->interface), (uint64_t)place->direction << 8 | place->wear);
        sum->odd += join(key, row->key & UINT32_MAX) * row->count;
    }
    for (uint32_t i = 0; i < vx_map_count(&tally->too_big); i++)
        add_too_big(tally, i, sum);
}

static void add_interface(const vx_tally *tally, uint32_t number, digest *sum) {
    const vx_interface_row *row = vx_map_at(&tally->interfaces, number);
    const uint64_t words[] = {row->records[0], row->records[1], row->records[2], row->link_type};
    uint64_t hash = bytes_of(of_interface(tally, number), words, sizeof words);
    sum->interfaces += bytes_of(hash, row->name, row->name != NULL ? strlen(row->name) : 0);
}

static void add_listed(const vx_tally *tally, digest *sum) {
    for (uint64_t i = 0; i < tally->datagram_count; i++) {
        const vx_datagram *row = &tally->datagrams[i];
        const vx_cell *cell = vx_cell_at(tally, row->cell);
        const uint64_t words[] = {(uint64_t)row->sample.time,
                                  row->sample.where,
                                  row->inner_length,
                                  row->flags,
                                  (uint64_t)vx_datagram_icmp(row),
                                  (uint64_t)vx_datagram_port(row)};
        uint64_t key = join(of_flow(tally, cell->flow), of_path(tally, cell->path));
        sum->listed += bytes_of(key, words, sizeof words);
    }
    for (uint64_t i = 0; i < tally->sighted_count; i++)
        sum->listed += join(tally->sighted[i].record, tally->sighted[i].first);
}

digest digest_of(const vx_engine *engine) {
    const vx_tally *tally = vx_engine_tally(engine);
    digest sum = {.records = tally->counters.records};
    sum.counters = bytes_of(0, &tally->counters, sizeof tally->counters);
    sum.times = (uint64_t)tally->step;
    if (vx_engine_has_records(engine))
        sum.times = join(join(sum.times, (uint64_t)tally->first_time), (uint64_t)tally->last_time);
    for (uint32_t i = 0; i < vx_map_count(&tally->interfaces); i++)
        add_interface(tally, i, &sum);
    for (uint32_t i = 0; i < vx_map_count(&tally->cells); i++)
        sum.cells += of_cell(tally, i);
    for (uint32_t i = 0; i < vx_map_count(&tally->flows); i++)
        add_flow(tally, i, &sum);
    for (uint32_t i = 0; i < vx_map_count(&tally->paths); i++)
        add_latencies(tally, i, &sum);
    for (uint32_t i = 0; i < vx_map_count(&tally->underlays); i++)
        add_tunnel(tally, i, &sum);
    sum.counts = of_counts(&tally->overheads, 1) + of_counts(&tally->sizes, 2) + of_counts(&tally->mss, 3);
    for (uint32_t i = 0; i < vx_map_count(&tally->large); i++)
        add_large(tally, i, &sum);
    for (uint32_t i = 0; i < vx_map_count(&tally->icmp); i++) {
        const vx_icmp *row = vx_map_at(&tally->icmp, i);
        sum.icmp += of_samples(join(row->key, row->count), &row->samples);
    }
    for (uint32_t i = 0; i < vx_map_count(&tally->timeline); i++) {
        const vx_step *row = vx_map_at(&tally->timeline, i);
        uint64_t key = bytes_of(of_path(tally, row->path), row->address, row->address_size);
        sum.timeline += join(join(key, (uint64_t)row->step), row->datagrams) ^ row->outer_bytes;
    }
    add_odd(tally, &sum);
    for (unsigned i = 0; i < VX_SAMPLE_KINDS; i++)
        sum.samples = of_samples(sum.samples, &tally->samples[i]);
    add_listed(tally, &sum);
    return sum;
}

const char *digests_differ(const digest *one, const digest *other, bool ranges_too) {
    static const char *const names[] = {"records",   "counters", "times",  "interfaces", "cells", "flows",
                                        "latencies", "tunnels",  "counts", "large",      "icmp",  "timeline",
                                        "odd",       "samples",  "listed", "ranges"};
    _Static_assert(sizeof names / sizeof *names == sizeof(digest) / sizeof(uint64_t), "not as said");
    const uint64_t *first = (const uint64_t *)one, *second = (const uint64_t *)other;
    for (size_t i = 0; i < sizeof names / sizeof *names - !ranges_too; i++)
        if (first[i] != second[i])
            return names[i];
    return NULL;
}

/* Some lost their addresses, which no counter says. */
static bool has_folded_tunnels(const vx_tally *tally) {
    for (uint32_t i = 0; i < vx_map_count(&tally->underlays); i++)
        if (((const vx_underlay *)vx_map_at(&tally->underlays, i))->key.size == 0)
            return true;
    return false;
}

bool hit_a_limit(const vx_engine *engine) {
    const vx_counters *counters = &vx_engine_tally(engine)->counters;
    return has_folded_tunnels(vx_engine_tally(engine)) || counters->evicted_journeys ||
           counters->folded_flows || counters->folded_quotes || counters->unlisted_datagrams ||
           counters->unlisted_sightings || counters->unweighed_journeys || counters->evicted_fragments ||
           counters->folded_details || counters->folded_places || counters->folded_paths ||
           counters->folded_ports;
}

static void check_samples(const vx_samples *samples) {
    MUST(samples->count <= VX_SAMPLES);
    for (unsigned i = 1; i < samples->count; i++)
        MUST(!vx_sample_before(samples->samples[i], samples->samples[i - 1]));
}

static void check_counters(const vx_counters *counters) {
    MUST(counters->tunnel_records + counters->ip_records + counters->non_ip_records +
             counters->unknown_link_records <=
         counters->records);
    MUST(counters->clipped_records <= counters->records && counters->cut_records <= counters->records);
    MUST(counters->malformed_records <= counters->records);
    MUST(counters->tail_fragments <= counters->records);
    MUST(counters->orphan_fragments + counters->late_fragments <= counters->tail_fragments);
    MUST(counters->wrong_checksums <= counters->verified_checksums);
    MUST(counters->verified_checksums <= counters->records && counters->nested_records <= counters->records);
}

static void check_cell(const vx_tally *tally, uint32_t number) {
    const vx_cell *cell = vx_cell_at(tally, number);
    vx_samples samples = vx_cell_samples(tally, number);
    check_samples(&samples);
    MUST(cell->flow == VX_OTHER_FLOWS || cell->flow < vx_map_count(&tally->flows));
    MUST(cell->path < vx_map_count(&tally->paths));
    MUST(cell->datagrams > 0 && samples.count > 0 && samples.count <= cell->datagrams);
    MUST(cell->smallest <= cell->largest && cell->last_time >= samples.samples[0].time);
    MUST(cell->inner_bytes >= cell->datagrams * cell->smallest);
    MUST(cell->inner_bytes <= cell->datagrams * cell->largest);
}

static void check_ranges(const vx_flow *flow) {
    const int64_t *ranges = vx_flow_ranges(flow);
    uint64_t covered = 0;
    MUST(flow->range_count <= VX_MOST_RANGES);
    for (uint32_t i = 0; i < flow->range_count; i++) {
        MUST(ranges[2 * i] < ranges[2 * i + 1]);
        MUST(i == 0 || ranges[2 * i - 1] < ranges[2 * i]);
        covered += (uint64_t)(ranges[2 * i + 1] - ranges[2 * i]);
    }
    MUST(flow->ranges_folded || covered <= flow->data_bytes);
}

void check_sums(const vx_engine *engine, const vx_engine_options *options) {
    const vx_tally *tally = vx_engine_tally(engine);
    check_counters(&tally->counters);
    MUST(tally->counters.records == vx_engine_records(engine));
    MUST(tally->datagram_count <= options->most.datagrams && tally->sighted_count <= options->most.sightings);
    MUST(vx_map_count(&tally->flows) <= options->most.flows);
    uint64_t records = 0, read = 0, journeys = 0, timed = 0, stepped = 0, passed = 0;
    for (uint32_t i = 0; i < options->inputs; i++)
        read += vx_engine_input(engine, i).records;
    MUST(read == tally->counters.records);
    for (uint32_t i = 0; i < vx_map_count(&tally->interfaces); i++) {
        const vx_interface_row *row = vx_map_at(&tally->interfaces, i);
        records += row->records[0] + row->records[1] + row->records[2];
    }
    MUST(records <= tally->counters.records);
    for (uint32_t i = 0; i < vx_map_count(&tally->cells); i++) {
        const vx_cell *cell = vx_cell_at(tally, i);
        check_cell(tally, i);
        journeys += cell->datagrams;
    }
    /* Each journey has a record of its own. */
    MUST(journeys <= tally->counters.records);
    for (uint32_t i = 0; i < vx_map_count(&tally->flows); i++)
        check_ranges(vx_map_at(&tally->flows, i));
    for (uint32_t i = 0; i < vx_map_count(&tally->timeline); i++)
        stepped += ((const vx_step *)vx_map_at(&tally->timeline, i))->datagrams;
    MUST(stepped == journeys);
    for (uint32_t i = 0; i < vx_map_count(&tally->paths); i++) {
        const vx_path *path = vx_map_at(&tally->paths, i);
        MUST(path->count > 0 && path->count <= VX_MOST_STAGES);
        if (path->latencies == NULL)
            continue;
        MUST(path->latencies->count > 0 && path->latencies->smallest <= path->latencies->largest);
        timed += path->latencies->count;
    }
    passed = journeys;
    MUST(timed <= passed);
    MUST(tally->datagram_count + tally->counters.unlisted_datagrams == journeys ||
         options->most.datagrams == 0);
    for (uint64_t i = 0; i < tally->datagram_count; i++)
        MUST(tally->datagrams[i].cell < vx_map_count(&tally->cells));
    for (unsigned i = 0; i < VX_SAMPLE_KINDS; i++)
        check_samples(&tally->samples[i]);
}
