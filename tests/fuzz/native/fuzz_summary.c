/* The packet list of a case, with what an engine tells of it: however the bytes come in, it writes the same
 * lines, and none that a terminal would obey; it asks of nothing that is not there. */
#include "filter.h"
#include "list.h"
#include "listed.h"
#include "must.h"
#include "programs.h"
#include "tails.h"

enum { MOST_COLUMNS = VX_SHOWN_FIELDS + 4, WAYS = 4 };

static const char ARROW[] = "\xE2\x86\x92";

/* A list as it is asked for, and what answers its questions. */
typedef struct {
    vx_list_options options;
    vx_column columns[MOST_COLUMNS];
    unsigned further_lines; /* of a record */
    uint8_t program[MOST_PROGRAM];
    uint32_t *way_of;
    uint8_t *outcome_of;
    uint32_t bundles;
    uint64_t left; /* answers until one fails */
    char protocol[8];
    char message[64];
    char label[8];
} asked;

/* ---- answers: they depend on nothing but the question ---- */

static bool fails(asked *of) { return of->left > 0 && --of->left == 0; }

/* All of it is read, so that the sanitizers see whether it is there. */
static uint32_t sum_of(const uint8_t *bytes, size_t size) {
    uint32_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum = sum * 31 + bytes[i];
    return sum;
}

static vx_string string_of(const char *text) {
    return (vx_string){text, text != NULL ? (uint32_t)strlen(text) : 0};
}

/* In JSON names come as they are, else without what does not print. */
static int answer_party(void *context, const uint8_t *address, size_t size, vx_party *party) {
    static const char *const names[] = {"default/pod", "w0", "",
                                        "p\xC3\xB6"
                                        "d\xE4\xBA\xAC",
                                        NULL};
    static const char *const wild[] = {"\x1b[31m\"\\\n\x7f", "\xE2\x80\xAE\xFF", "\xC2\x85", "a/\t", NULL};
    asked *of = context;
    MUST(size == 4 || size == 16);
    uint32_t sum = sum_of(address, size);
    if (fails(of))
        return -1;
    const char *const *list = of->options.format == VX_AS_JSON ? wild : names;
    party->name = string_of(list[sum % 5]);
    party->pod = string_of(list[sum / 5 % 5]);
    party->node = string_of(list[sum / 25 % 5]);
    party->identity = (int64_t)(sum / 125 % 4) - 1;
    return sum % 7 > 0;
}

static int answer_identity(void *context, uint32_t vni, vx_string *name) {
    asked *of = context;
    if (fails(of))
        return -1;
    *name = string_of(vni % 2 ? "default/web" : NULL);
    return vni % 3 > 0;
}

static int answer_interface(void *context, int64_t index, uint32_t input, uint32_t interface,
                            vx_string *label) {
    asked *of = context;
    MUST(index >= -1 && index <= UINT32_MAX && input < of->options.inputs);
    if (fails(of))
        return -1;
    of->label[0] = 'e';
    of->label[1] = (char)('0' + (index >= 0 ? index : interface) % 10);
    of->label[2] = '\0';
    *label = string_of(of->label);
    return (index + interface) % 4 != 0;
}

static int answer_direction(void *context, uint32_t bundle, uint32_t input, uint32_t interface,
                            const uint8_t *macs, uint8_t *direction) {
    asked *of = context;
    MUST(bundle < of->bundles && input < of->options.inputs);
    if (fails(of))
        return -1;
    *direction = (uint8_t)((sum_of(macs, 12) + interface) % 6);
    return 1;
}

static int answer_message(void *context, const vx_message_asked *asking, vx_message *message) {
    asked *of = context;
    MUST(asking->transport == 6 || asking->transport == 17);
    MUST(asking->transport == 6 || (asking->remaining == 0 && asking->stream == 0));
    uint32_t sum = sum_of(asking->payload, asking->captured), size = asking->captured;
    if (fails(of))
        return -1;
    size = size < sizeof of->message ? size : sizeof of->message - 1;
    for (uint32_t i = 0; i < size; i++)
        of->message[i] = (char)(asking->payload[i] & 0x7F);
    memcpy(of->protocol, "HTTP", 5);
    if (sum % 4 > 0)
        message->protocol = string_of(of->protocol);
    message->info = (vx_string){of->message, size};
    message->remaining = sum % 3 == 0 ? sum % 2000 : sum % 8 == 1 ? UINT64_MAX : 0;
    return sum % 5 > 0;
}

/* ---- what is asked ---- */

static void choose_columns(asked *of, uint64_t *state) {
    vx_list_options *options = &of->options;
    bool all = chance(state, 4) > 0;
    size_t count = all ? VX_SHOWN_FIELDS : chance(state, MOST_COLUMNS + 1);
    for (size_t i = 0; i < count; i++) {
        vx_column *column = &of->columns[i];
        column->field = (uint8_t)(all ? i : chance(state, VX_SHOWN_FIELDS));
        column->to_the_right = chance(state, 2);
        column->width = (uint16_t)(chance(state, 2) ? 0 : chance(state, 40));
        column->starts_line = options->format == VX_AS_TEXT && i > 0 && chance(state, 8) == 0;
        of->further_lines += column->starts_line;
    }
    options->columns = of->columns;
    options->column_count = count;
}

static void choose_filter(asked *of, uint64_t *state) {
    if (chance(state, 2))
        return;
    of->options.filter = of->program;
    of->options.filter_size = make_program(of->program, state);
    vx_filter *filter;
    MUST(vx_filter_new(of->program, of->options.filter_size, &filter) == 0);
    vx_filter_free(filter);
}

static void choose(asked *of, const told *told, uint32_t inputs, uint64_t *state) {
    static const vx_string paths[MOST_INPUTS] = {{"a.pcap", 6}, {"b", 1}, {"\xC3\xA9.pcapng", 9}};
    static const struct vx_port ports[] = {{8472, VX_VXLAN}, {4789, VX_VXLAN}, {6081, VX_GENEVE}};
    static vx_way ways[WAYS];
    ways[1] = (vx_way){{"eth1", 4},
                       {"eth2", 4},
                       {"eth1\xE2\x86\x92"
                        "eth2",
                        11}};
    ways[2] = (vx_way){{"eth1", 4}, {NULL, 0}, {"eth1", 4}};
    ways[3] = (vx_way){{NULL, 0}, {"\xE4\xBA\xAC", 3}, {ARROW, 3}};
    of->bundles = told->bundles;
    of->way_of = malloc(told->bundles * sizeof *of->way_of + 1);
    of->outcome_of = malloc((size_t)told->bundles + 1);
    MUST(of->way_of != NULL && of->outcome_of != NULL);
    for (uint32_t i = 0; i < told->bundles; i++) {
        of->way_of[i] = chance(state, WAYS);
        of->outcome_of[i] = (uint8_t)chance(state, VX_UNRESOLVED + 1);
    }
    of->left = chance(state, 16) == 0 ? 1 + chance(state, 20) : 0;
    of->options = (vx_list_options){
        .inputs = inputs,
        .paths = paths,
        .ports = ports,
        .port_count = sizeof ports / sizeof *ports,
        .where = told->where,
        .bundle = told->bundle,
        .latency = told->latency,
        .length = told->length,
        .vni = told->vni,
        .datagram_count = told->datagrams,
        .sighted = {told->sighted, told->first, told->sightings},
        .way_of = of->way_of,
        .outcome_of = of->outcome_of,
        .ways = ways,
        .format = (uint8_t)chance(state, 3),
        .time = (uint8_t)chance(state, 3),
        .time_digits = (uint8_t)chance(state, 10),
        .all = chance(state, 2),
        .ask_names = chance(state, 4) > 0,
        .ask_identities = chance(state, 4) > 0,
        .vni_is_network = chance(state, 2),
        .vni_is_identity = chance(state, 2),
        .way_width = (uint16_t)chance(state, 12),
        .tail_width = (uint16_t)(chance(state, 2) * 7),
        .info_room = (uint16_t)(chance(state, 2) ? 0 : chance(state, 60)),
        .indent = 4,
        .most = chance(state, 4) == 0 ? 1 + chance(state, 10) : 0,
        .seed = 42,
        .ask = {of, answer_party, answer_identity, answer_interface, answer_direction, answer_message},
    };
    /* Tables as large as usual take far longer to make than the list of so few records. */
    of->options.most_streams = 1 + chance(state, chance(state, 2) ? 3 : 100);
    of->options.most_fragmented = of->options.most_echoes = 16;
    of->options.color = of->options.format == VX_AS_TEXT && chance(state, 4) == 0;
    choose_columns(of, state);
    choose_filter(of, state);
}

/* ---- running ---- */

/* How much of a file to give next, in a block of its own size that goes away behind it. */
static uint8_t *piece_of(const dealt *files, uint32_t input, size_t *at, size_t most, uint64_t *state,
                         size_t *size) {
    size_t left = files->sizes[input] - at[input];
    *size = most == 0 ? left : 1 + chance(state, (uint32_t)most);
    *size = *size < left ? *size : left;
    uint8_t *piece = malloc(*size);
    MUST(piece != NULL || *size == 0);
    if (*size > 0)
        memcpy(piece, files->bytes[input] + at[input], *size);
    at[input] += *size;
    return piece;
}

/* Which records belong to which, by records' places in `where` and `first`: how many. */
static size_t find_tails(const dealt *files, uint32_t inputs, int64_t window, size_t most, uint64_t state,
                         uint64_t records, uint64_t **where, uint64_t **first) {
    size_t at[MOST_INPUTS] = {0}, size, count;
    vx_tails *tails = vx_tails_new(inputs, window, 42);
    MUST(tails != NULL);
    for (uint32_t input; (input = vx_tails_wants(tails)) != UINT32_MAX;) {
        MUST(input < inputs);
        uint8_t *piece = piece_of(files, input, at, most, &state, &size);
        MUST((size > 0 ? vx_tails_feed(tails, input, piece, size) : vx_tails_end(tails, input)) == 0);
        free(piece);
    }
    const vx_tail *found = vx_tails_found(tails, &count);
    MUST(count <= records);
    *where = malloc(count * sizeof **where + 1);
    *first = malloc(count * sizeof **first + 1);
    MUST(*where != NULL && *first != NULL);
    for (size_t i = 0; i < count; i++) {
        (*where)[i] = found[i].tail;
        (*first)[i] = found[i].first;
        MUST(found[i].tail != found[i].first && found[i].tail >> 48 == found[i].first >> 48);
        MUST(found[i].tail >> 48 < inputs && (i == 0 || found[i].tail > found[i - 1].tail));
    }
    vx_tails_free(tails);
    return count;
}

/* The same in cuts. */
static vx_pairs check_tails(const test_case *made, const dealt *files, size_t most, uint64_t state,
                            uint64_t records, uint64_t **where, uint64_t **first) {
    uint64_t *other_where, *other_first;
    int64_t window = (int64_t)made->window;
    size_t count = find_tails(files, made->inputs, window, 0, state, records, where, first);
    size_t other = find_tails(files, made->inputs, window, most, state, records, &other_where, &other_first);
    MUST(count == other && memcmp(*where, other_where, count * sizeof **where) == 0);
    MUST(memcmp(*first, other_first, count * sizeof **first) == 0);
    free(other_where);
    free(other_first);
    return (vx_pairs){*where, *first, count};
}

/* The lines, and how many; `status` is the list's at the end. */
static vx_text list(const asked *from, const dealt *files, size_t most, uint64_t state, uint64_t *lines,
                    int *status) {
    size_t at[MOST_INPUTS] = {0}, size;
    static asked of;
    of = *from;
    of.options.columns = of.columns;
    of.options.ask.context = &of;
    vx_lister *lister = vx_lister_new(&of.options);
    MUST(lister != NULL);
    vx_text all = {0}, *some = vx_lister_text(lister);
    *status = 0;
    for (uint32_t input; *status == 0 && (input = vx_lister_wants(lister)) != UINT32_MAX;) {
        MUST(input < of.options.inputs);
        uint8_t *piece = piece_of(files, input, at, most, &state, &size);
        *status = size > 0 ? vx_lister_feed(lister, input, piece, size) : vx_lister_end(lister, input);
        free(piece);
        vx_text_bytes(&all, some->at, some->size);
        some->size = 0;
    }
    MUST(*status == 0 || (*status == VX_LIST_FAILED && from->left > 0));
    MUST(*status == 0 || vx_lister_end(lister, 0) == *status);
    MUST(!all.failed);
    *lines = vx_lister_lines(lister);
    vx_lister_free(lister);
    return all;
}

/* ---- what has to hold ---- */

static uint64_t count_of(const vx_text *text, char byte) {
    uint64_t count = 0;
    for (size_t i = 0; i < text->size; i++)
        count += text->at[i] == byte;
    return count;
}

static void check_text(const asked *of, const vx_text *text, uint64_t lines) {
    const vx_list_options *options = &of->options;
    uint64_t columns = options->column_count, feeds = count_of(text, '\n');
    const char *allowed = options->format == VX_AS_TSV ? "\n\t" : options->color ? "\n\x1b" : "\n";
    if (options->format == VX_AS_JSON) { /* lister.py writes what else does not print as escapes */
        check_characters(text->at, text->size, "\n");
        MUST(feeds == lines);
        return;
    }
    check_printable(text->at, text->size, allowed);
    MUST(feeds == lines * (1 + of->further_lines));
    MUST(options->format == VX_AS_TEXT || columns == 0 || count_of(text, '\t') == lines * (columns - 1));
}

static void check_count(const asked *of, const told *told, uint64_t lines, int status) {
    const vx_list_options *options = &of->options;
    MUST(lines <= told->records && (options->most == 0 || lines <= options->most));
    if (status < 0 || options->filter != NULL || options->most > 0)
        return;
    if (options->all)
        MUST(lines == told->records);
    else
        MUST(lines >= told->datagrams && lines + told->sightings + options->tails.count >= told->records);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    test_case made;
    if (!read_case(data, size, &made))
        return 0;
    static dealt files;
    static asked of;
    deal(&made, files.bytes[0], files.sizes);
    uint64_t state = (uint64_t)made.seed << 16 | (uint64_t)data[7] << 8 | data[14];
    size_t most = 1 + chance(&state, chance(&state, 2) ? 60 : 4000);
    told told = tell(&made, &files);
    memset(&of, 0, sizeof of);
    choose(&of, &told, made.inputs, &state);

    uint64_t *tails = NULL, *firsts = NULL;
    if (chance(&state, 4) == 0) /* its tables are large */
        of.options.tails = check_tails(&made, &files, most, state, told.records, &tails, &firsts);

    uint64_t lines, other_lines;
    int status, other_status;
    vx_text whole = list(&of, &files, 0, state, &lines, &status);
    vx_text cut = list(&of, &files, most, state, &other_lines, &other_status);
    MUST(lines == other_lines && status == other_status && whole.size == cut.size);
    MUST(whole.size == 0 || memcmp(whole.at, cut.at, whole.size) == 0);
    if (status == 0)
        check_text(&of, &whole, lines);
    check_count(&of, &told, lines, status);

    vx_text_free(&whole);
    vx_text_free(&cut);
    free(tails);
    free(firsts);
    free(of.way_of);
    free(of.outcome_of);
    told_free(&told);
    return 0;
}
