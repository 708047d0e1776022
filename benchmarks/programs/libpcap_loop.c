/*
 * libpcap's bare read loop, the yardstick: opens each file given, takes every record and looks at none.
 * Prints how many there were. "-" is standard input.
 */
#include <pcap/pcap.h>
#include <stdio.h>

int main(int count, char **arguments) {
    unsigned long long records = 0;
    for (int at = 1; at < count; at++) {
        char error[PCAP_ERRBUF_SIZE];
        pcap_t *capture = pcap_open_offline(arguments[at], error);
        if (!capture) {
            fprintf(stderr, "libpcap_loop: %s\n", error);
            return 1;
        }
        struct pcap_pkthdr *header;
        const u_char *data;
        int status;
        while ((status = pcap_next_ex(capture, &header, &data)) == 1)
            records++;
        if (status != PCAP_ERROR_BREAK) {
            fprintf(stderr, "libpcap_loop: %s: %s\n", arguments[at], pcap_geterr(capture));
            return 1;
        }
        pcap_close(capture);
    }
    printf("{\"records\": %llu}\n", records);
    return 0;
}
