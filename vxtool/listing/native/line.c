#include "line.h"

#include "echoes.h"
#include "facts.h"

#define ELLIPSIS "…"
#define RED "\x1b[31m"
#define YELLOW "\x1b[33m"
#define PLAIN "\x1b[0m"

enum { NANOSECOND_DIGITS = 9, DAY = 86400 };

static const uint64_t SECOND = UINT64_C(1000000000);

/* In the order of VX_SHOW_NUMBER and so on. */
static const char *const NAMES[VX_SHOWN_FIELDS] = {
    "number",
    "input",
    "time",
    "interfaces",
    "ingress",
    "egress",
    "latency_ns",
    "outcome",
    "datagram",
    "source",
    "destination",
    "source_name",
    "destination_name",
    "source_port",
    "destination_port",
    "vni",
    "identity",
    "outer_source",
    "outer_destination",
    "protocol",
    "length",
    "stream",
    "notes",
    "info",
};

static const char *const OUTCOMES[] = {"",           "forwarded", "delivered", "dropped",
                                       "originated", "missed",    "unresolved"};

/* What notes are called, in the order of their bits. */
static const char *const NOTES[] = {
    "retransmission",
    "fast-retransmission",
    "spurious-retransmission",
    "out-of-order",
    "lost-segment",
    "acked-lost-segment",
    "duplicate-ack",
    "zero-window",
    "zero-window-probe",
    "zero-window-probe-ack",
    "window-update",
    "window-full",
    "keep-alive",
    "keep-alive-ack",
    "ports-reused",
};
enum { NOTE_COUNT = sizeof NOTES / sizeof *NOTES };

static void write_string(vx_text *text, vx_string string) { vx_text_bytes(text, string.at, string.size); }

/* ---- UTF-8 ---- */

/* The sign at `at`, of `left` bytes, and how many it takes; what is no UTF-8 is a sign of one byte. */
static uint32_t sign_at(const char *at, size_t left, size_t *size) {
    const uint8_t *octets = (const uint8_t *)at;
    uint8_t first = octets[0];
    size_t more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : first >= 0xC0 ? 1 : 0;
    *size = 1;
    if (more == 0 || more >= left)
        return first;
    uint32_t sign = first & (0x3FU >> more);
    for (size_t i = 1; i <= more; i++) {
        if ((octets[i] & 0xC0) != 0x80)
            return first;
        sign = sign << 6 | (octets[i] & 0x3F);
    }
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    if (sign < least[more] || sign > 0x10FFFF || (sign >= 0xD800 && sign <= 0xDFFF))
        return first;
    *size = more + 1;
    return sign;
}

/* Those that terminals give two columns, near enough: the scripts of East Asia, and pictures. */
static unsigned columns_of_sign(uint32_t sign) {
    static const uint32_t wide[][2] = {
        {0x1100, 0x115F},   {0x2E80, 0x303E},   {0x3041, 0xA4CF},   {0xAC00, 0xD7A3},
        {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},   {0xFFE0, 0xFFE6},
        {0x1F300, 0x1F64F}, {0x1F900, 0x1F9FF}, {0x20000, 0x3FFFD},
    };
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        if (sign >= wide[i][0] && sign <= wide[i][1])
            return 2;
    return 1;
}

size_t vx_columns_of(const char *at, size_t size) {
    size_t columns = 0;
    for (size_t i = 0; i < size;) {
        if ((uint8_t)at[i] < 0x80) {
            columns++;
            i++;
            continue;
        }
        size_t taken;
        columns += columns_of_sign(sign_at(at + i, size - i, &taken));
        i += taken;
    }
    return columns;
}

/* ---- what text must not hold ---- */

static void write_hex(vx_text *text, const char *lead, uint32_t number, unsigned digits) {
    vx_text_string(text, lead);
    while (digits-- > 0)
        vx_text_byte(text, "0123456789abcdef"[number >> (4 * digits) & 15]);
}

/* Take what was written from `start` on back, and write it as it may stand within a string of JSON. What else
 * is not safe to print is known to Unicode's tables, which whoever takes the lines has: lister.py. */
static void escape_json(vx_text *text, size_t start) {
    bool clean = true;
    for (size_t i = start; clean && i < text->size; i++) {
        uint8_t octet = (uint8_t)text->at[i];
        clean = octet >= 0x20 && octet < 0x80 && octet != '"' && octet != '\\';
    }
    size_t size = text->size - start;
    char *copy = clean ? NULL : malloc(size > 0 ? size : 1);
    if (clean || text->failed)
        return;
    if (copy == NULL) {
        text->failed = true;
        return;
    }
    memcpy(copy, text->at + start, size);
    text->size = start;
    for (size_t i = 0; i < size;) {
        size_t taken;
        uint32_t sign = sign_at(copy + i, size - i, &taken);
        if (sign == '"' || sign == '\\') {
            vx_text_byte(text, '\\');
            vx_text_byte(text, (char)sign);
        } else if (sign == '\n') {
            vx_text_string(text, "\\n");
        } else if (sign == '\r') {
            vx_text_string(text, "\\r");
        } else if (sign == '\t') {
            vx_text_string(text, "\\t");
        } else if (taken == 1 && sign >= 0x80) {
            write_hex(text, "\\u", 0xDC00 + sign, 4); /* as Python holds such a byte */
        } else if (sign < 0x20) {
            write_hex(text, "\\u", sign, 4);
        } else {
            vx_text_bytes(text, copy + i, taken);
        }
        i += taken;
    }
    free(copy);
}

/* The same with what a terminal would obey, or a column be ended by. */
static void escape_controls(vx_text *text, size_t start) {
    bool clean = true;
    for (size_t i = start; clean && i < text->size; i++)
        clean = (uint8_t)text->at[i] >= 0x20 && text->at[i] != 0x7F;
    size_t size = text->size - start;
    char *copy = clean ? NULL : malloc(size > 0 ? size : 1);
    if (clean || text->failed)
        return;
    if (copy == NULL) {
        text->failed = true;
        return;
    }
    memcpy(copy, text->at + start, size);
    text->size = start;
    for (size_t i = 0; i < size; i++) {
        uint8_t octet = (uint8_t)copy[i];
        if (octet < 0x20 || octet == 0x7F)
            write_hex(text, "\\x", octet, 2);
        else
            vx_text_byte(text, copy[i]);
    }
    free(copy);
}

/* ---- values ---- */

static void write_padded(vx_text *text, uint64_t number, unsigned digits) {
    char out[20];
    for (unsigned i = digits; i-- > 0; number /= 10)
        out[i] = (char)('0' + number % 10);
    vx_text_bytes(text, out, digits);
}

/* Seconds with so many digits behind the point; what is beyond them is left out. */
static void write_seconds(vx_text *text, int64_t nanoseconds, unsigned digits) {
    uint64_t parts = nanoseconds < 0 ? 0 - (uint64_t)nanoseconds : (uint64_t)nanoseconds, second = SECOND;
    for (unsigned i = digits; i < NANOSECOND_DIGITS; i++) {
        parts /= 10;
        second /= 10;
    }
    if (nanoseconds < 0 && parts > 0)
        vx_text_byte(text, '-');
    vx_text_number(text, parts / second);
    if (digits > 0) {
        vx_text_byte(text, '.');
        write_padded(text, parts % second, digits);
    }
}

/* RFC 3339 in UTC. The date by counting in eras of 400 years that begin with a March. */
static void write_moment(vx_text *text, int64_t nanoseconds, unsigned digits) {
    int64_t seconds = nanoseconds / (int64_t)SECOND, parts = nanoseconds % (int64_t)SECOND;
    if (parts < 0) {
        parts += (int64_t)SECOND;
        seconds--;
    }
    int64_t days = seconds / DAY, of_day = seconds % DAY;
    if (of_day < 0) {
        of_day += DAY;
        days--;
    }
    /* 1970-01-01 is 719,468 days behind 0000-03-01; all of 64 bits of ns are years behind that. */
    uint64_t day = (uint64_t)(days + 719468), era = day / 146097, of_era = day % 146097;
    uint64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint64_t of_year = of_era - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;
    write_padded(text, year + era * 400 + (month >= 10), 4);
    vx_text_byte(text, '-');
    write_padded(text, month < 10 ? month + 3 : month - 9, 2);
    vx_text_byte(text, '-');
    write_padded(text, of_year - (153 * month + 2) / 5 + 1, 2);
    vx_text_byte(text, 'T');
    write_padded(text, (uint64_t)of_day / 3600, 2);
    vx_text_byte(text, ':');
    write_padded(text, (uint64_t)of_day / 60 % 60, 2);
    vx_text_byte(text, ':');
    write_padded(text, (uint64_t)of_day % 60, 2);
    if (digits > 0) {
        vx_text_byte(text, '.');
        for (unsigned i = digits; i < NANOSECOND_DIGITS; i++)
            parts /= 10;
        write_padded(text, (uint64_t)parts, digits);
    }
    vx_text_byte(text, 'Z');
}

/* With one digit behind the point below ten, where that is not 0; halves are rounded up. */
static void write_figures(vx_text *text, uint64_t value, uint64_t unit, const char *name) {
    if (value < unit * 199 / 20) {
        uint64_t tenths = (value * 10 + unit / 2) / unit;
        vx_text_number(text, tenths / 10);
        if (tenths % 10 > 0) {
            vx_text_byte(text, '.');
            vx_text_number(text, tenths % 10);
        }
    } else {
        vx_text_number(text, (value + unit / 2) / unit);
    }
    vx_text_string(text, name);
}

void vx_duration_write(vx_text *text, uint64_t nanoseconds) {
    if (nanoseconds < 1000) {
        vx_text_number(text, nanoseconds);
        vx_text_string(text, " ns");
    } else if (nanoseconds < UINT64_C(999500)) {
        write_figures(text, nanoseconds, 1000, " µs");
    } else if (nanoseconds < UINT64_C(999500000)) {
        write_figures(text, nanoseconds, 1000000, " ms");
    } else if (nanoseconds < UINT64_C(59500000000)) {
        write_figures(text, nanoseconds, SECOND, " s");
    } else {
        uint64_t seconds = nanoseconds / SECOND + (nanoseconds % SECOND >= SECOND / 2);
        vx_text_number(text, seconds / 60);
        vx_text_string(text, " min");
        if (seconds % 60 > 0) {
            vx_text_byte(text, ' ');
            vx_text_number(text, seconds % 60);
            vx_text_string(text, " s");
        }
    }
}

/* What notes there are, by name. */
static bool write_note_names(vx_text *text, const vx_stream_note *note, bool quoted) {
    uint32_t notes = note != NULL ? note->notes : 0;
    bool is_first = true;
    for (unsigned bit = 0; bit < NOTE_COUNT; bit++) {
        if (!(notes >> bit & 1))
            continue;
        if (!is_first)
            vx_text_string(text, quoted ? ", " : ",");
        is_first = false;
        if (quoted)
            vx_text_byte(text, '"');
        vx_text_string(text, NOTES[bit]);
        if (quoted)
            vx_text_byte(text, '"');
    }
    return !is_first;
}

static void write_info(vx_text *text, const vx_line *line) {
    if (line->note != NULL && line->note->notes != 0)
        vx_notes_write(text, line->note);
    if (line->message.at != NULL)
        write_string(text, line->message);
    else
        vx_info_write(text, line->seen, line->note);
    vx_echo_write(text, line->request);
    if (line->is_part)
        vx_text_string(text, " [TCP segment of a reassembled PDU]");
}

static bool write_some(vx_text *text, vx_string string) {
    write_string(text, string);
    return string.at != NULL;
}

static bool write_end(vx_text *text, vx_end end) {
    vx_end_write(text, end);
    return end.kind != VX_END_NONE;
}

static bool write_name(vx_text *text, const vx_party *party, vx_end end) {
    return party != NULL && party->name.at != NULL ? write_some(text, party->name) : write_end(text, end);
}

static bool write_number(vx_text *text, bool is_known, uint64_t number) {
    if (is_known)
        vx_text_number(text, number);
    return is_known;
}

static void write_time(vx_text *text, const vx_list_options *options, const vx_line *line) {
    /* Programs get all there is. */
    unsigned digits = options->format == VX_AS_TEXT ? options->time_digits : NANOSECOND_DIGITS;
    if (options->time == VX_TIME_ABSOLUTE)
        write_moment(text, line->time_ns, digits);
    else
        write_seconds(text, line->shown_ns, digits);
}

/* Write the value of a field as it is, without quotes; false: there is none. */
static bool write_value(vx_text *text, const vx_list_options *options, const vx_line *line, uint8_t field) {
    const vx_seen *seen = line->seen;
    switch (field) {
    case VX_SHOW_NUMBER:
        return write_number(text, true, line->number);
    case VX_SHOW_INPUT:
        return write_some(text, options->paths[line->input]);
    case VX_SHOW_TIME:
        write_time(text, options, line);
        return true;
    case VX_SHOW_INTERFACES:
        return write_some(text, line->interfaces);
    case VX_SHOW_INGRESS:
        return write_some(text, line->ingress);
    case VX_SHOW_EGRESS:
        return write_some(text, line->egress);
    case VX_SHOW_LATENCY:
        return write_number(text, line->latency >= 0, (uint64_t)line->latency);
    case VX_SHOW_OUTCOME:
        vx_text_string(text, OUTCOMES[line->outcome]);
        return line->outcome != VX_NO_OUTCOME;
    case VX_SHOW_DATAGRAM:
        return write_number(text, line->datagram > 0, line->datagram);
    case VX_SHOW_SOURCE:
        return write_end(text, seen->source);
    case VX_SHOW_DESTINATION:
        return write_end(text, seen->destination);
    case VX_SHOW_SOURCE_NAME:
        return write_name(text, line->source, seen->source);
    case VX_SHOW_DESTINATION_NAME:
        return write_name(text, line->destination, seen->destination);
    case VX_SHOW_SOURCE_PORT:
        return write_number(text, seen->has_ports, seen->source_port);
    case VX_SHOW_DESTINATION_PORT:
        return write_number(text, seen->has_ports, seen->destination_port);
    case VX_SHOW_VNI:
        return write_number(text, seen->vni >= 0, (uint64_t)seen->vni);
    case VX_SHOW_IDENTITY:
        return write_some(text, line->identity);
    case VX_SHOW_OUTER_SOURCE:
        return write_end(text, seen->outer_source);
    case VX_SHOW_OUTER_DESTINATION:
        return write_end(text, seen->outer_destination);
    case VX_SHOW_PROTOCOL:
        return write_some(text, line->protocol);
    case VX_SHOW_LENGTH:
        return write_number(text, true, seen->length);
    case VX_SHOW_STREAM:
        return write_number(text, line->note != NULL, line->note != NULL ? line->note->stream : 0);
    case VX_SHOW_NOTES:
        return write_note_names(text, line->note, options->format == VX_AS_JSON);
    default:
        write_info(text, line);
        return true;
    }
}

/* ---- text ---- */

static void write_blanks(vx_text *text, size_t count) {
    if (count > 0 && vx_text_room(text, count)) {
        memset(text->at + text->size, ' ', count);
        text->size += count;
    }
}

/* Cut what was written from `start` on, so that it takes at most `room` columns. */
static void fit(vx_text *text, size_t start, size_t room) {
    const char *at = text->at + start;
    size_t size = text->size - start, columns = 0, last = 0;
    if (size <= room)
        return;
    for (size_t i = 0; i < size;) {
        size_t taken;
        unsigned wide = columns_of_sign(sign_at(at + i, size - i, &taken));
        /* What still fits with the ellipsis behind it. */
        if (columns + wide < room)
            last = i + taken;
        columns += wide;
        i += taken;
    }
    if (columns <= room)
        return;
    text->size = start + last;
    vx_text_string(text, ELLIPSIS);
}

/* The way, and behind it how long it took, or that it ended. */
static void write_interfaces(vx_text *text, const vx_list_options *options, const vx_line *line) {
    size_t start = text->size;
    write_string(text, line->interfaces);
    bool is_dropped = line->outcome == VX_DROPPED;
    if (options->tail_width == 0 || (line->latency < 0 && !is_dropped))
        return;
    size_t columns = vx_columns_of(text->at + start, text->size - start);
    write_blanks(text, columns < options->way_width ? options->way_width - columns : 0);
    size_t tail = text->size;
    if (is_dropped)
        vx_text_string(text, "dropped");
    else
        vx_duration_write(text, (uint64_t)line->latency);
    /* To the right, below the others: it is moved when it is known how long it is. */
    size_t width = vx_columns_of(text->at + tail, text->size - tail), size = text->size - tail;
    size_t blanks = options->tail_width > width ? options->tail_width - width : 0;
    blanks += options->way_width > 0;
    if (vx_text_room(text, blanks)) {
        memmove(text->at + tail + blanks, text->at + tail, size);
        memset(text->at + tail, ' ', blanks);
        text->size += blanks;
    }
}

static void write_cell(vx_text *text, const vx_list_options *options, const vx_line *line, uint8_t field,
                       size_t excess) {
    size_t start = text->size;
    if (field == VX_SHOW_INTERFACES) {
        write_interfaces(text, options, line);
        return;
    }
    write_value(text, options, line, field);
    if (field == VX_SHOW_INFO) {
        escape_controls(text, start);
        while (text->size > start && text->at[text->size - 1] == ' ')
            text->size--;
        if (options->info_room > 0 && !text->failed)
            fit(text, start, options->info_room > excess ? options->info_room - excess : 1);
    }
}

/* Put `color` around what was written from `start` on. */
static void paint(vx_text *text, size_t start, const char *color) {
    size_t size = text->size - start, lead = strlen(color);
    if (size == 0 || !vx_text_room(text, lead))
        return;
    memmove(text->at + start + lead, text->at + start, size);
    memcpy(text->at + start, color, lead);
    text->size += lead;
    vx_text_string(text, PLAIN);
}

static const char *color_of(const vx_line *line, uint8_t field) {
    if (field == VX_SHOW_INTERFACES || field == VX_SHOW_OUTCOME)
        return line->outcome == VX_DROPPED ? RED : NULL;
    if (field == VX_SHOW_INFO || field == VX_SHOW_NOTES)
        return line->note != NULL && line->note->notes != 0 ? YELLOW : NULL;
    return NULL;
}

static void write_text_line(vx_text *text, const vx_list_options *options, const vx_line *line) {
    /* Blanks are written once something follows them, so that no line ends in blanks. */
    size_t blanks = 0;
    /* By how many columns what stands on this line so far is wider than its columns: info has so much less.
     */
    size_t excess = 0;
    for (size_t i = 0; i < options->column_count && !text->failed; i++) {
        const vx_column *column = &options->columns[i];
        if (column->starts_line) {
            vx_text_byte(text, '\n');
            blanks = options->indent;
            excess = 0;
        } else if (i > 0) {
            blanks++;
        }
        /* The value first, then what has to stand before it: how wide it is, only then is known. */
        size_t start = text->size;
        write_cell(text, options, line, column->field, excess);
        if (text->failed)
            return;
        size_t size = text->size - start, columns = 0;
        if (column->width > 0)
            columns = vx_columns_of(text->at + start, size);
        size_t rest = columns < column->width ? column->width - columns : 0;
        excess += columns > column->width ? columns - column->width : 0;
        if (size == 0) {
            blanks += rest;
            continue;
        }
        const char *color = options->color ? color_of(line, column->field) : NULL;
        if (color != NULL) {
            paint(text, start, color);
            size = text->size - start;
        }
        size_t before = blanks + (column->to_the_right ? rest : 0);
        if (!vx_text_room(text, before))
            return;
        memmove(text->at + start + before, text->at + start, size);
        memset(text->at + start, ' ', before);
        text->size += before;
        blanks = column->to_the_right ? 0 : rest;
    }
    vx_text_byte(text, '\n');
}

/* ---- the others ---- */

static void write_tsv_line(vx_text *text, const vx_list_options *options, const vx_line *line) {
    for (size_t i = 0; i < options->column_count; i++) {
        uint8_t field = options->columns[i].field;
        if (i > 0)
            vx_text_byte(text, '\t');
        size_t start = text->size;
        write_value(text, options, line, field);
        if (field == VX_SHOW_INFO)
            escape_controls(text, start);
    }
    vx_text_byte(text, '\n');
}

static bool is_number(const vx_list_options *options, uint8_t field) {
    switch (field) {
    case VX_SHOW_NUMBER:
    case VX_SHOW_LATENCY:
    case VX_SHOW_DATAGRAM:
    case VX_SHOW_SOURCE_PORT:
    case VX_SHOW_DESTINATION_PORT:
    case VX_SHOW_VNI:
    case VX_SHOW_LENGTH:
    case VX_SHOW_STREAM:
        return true;
    case VX_SHOW_TIME:
        return options->time != VX_TIME_ABSOLUTE;
    default:
        return false;
    }
}

static void write_json_line(vx_text *text, const vx_list_options *options, const vx_line *line,
                            bool is_first) {
    vx_text_string(text, is_first ? "\n    {" : ",\n    {");
    for (size_t i = 0; i < options->column_count; i++) {
        uint8_t field = options->columns[i].field;
        vx_text_string(text, i > 0 ? ", \"" : "\"");
        vx_text_string(text, NAMES[field]);
        vx_text_string(text, "\": ");
        size_t start = text->size;
        if (field == VX_SHOW_NOTES) {
            vx_text_byte(text, '[');
            write_value(text, options, line, field);
            vx_text_byte(text, ']');
            continue;
        }
        bool is_text = !is_number(options, field);
        if (is_text)
            vx_text_byte(text, '"');
        if (!write_value(text, options, line, field)) {
            text->size = text->failed ? text->size : start;
            vx_text_string(text, "null");
        } else if (is_text) {
            escape_json(text, start + 1);
            vx_text_byte(text, '"');
        }
    }
    vx_text_byte(text, '}');
}

void vx_line_write(vx_text *text, const vx_list_options *options, const vx_line *line, bool is_first) {
    /* A place to point to, even where the first value is empty. */
    if (!vx_text_room(text, 1))
        return;
    if (options->format == VX_AS_TEXT)
        write_text_line(text, options, line);
    else if (options->format == VX_AS_TSV)
        write_tsv_line(text, options, line);
    else
        write_json_line(text, options, line, is_first);
}
