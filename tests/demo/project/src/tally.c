#include "tally.h"

#include <ctype.h>
#include <stdbool.h>

struct tally tally_stream(FILE *in)
{
    struct tally tally = { 0, 0, 0 };
    bool in_word = false;
    int byte;

    while ((byte = getc(in)) != EOF) {
        bool space = isspace(byte);
        tally.bytes++;
        tally.lines += byte == '\n';
        tally.words += !space && !in_word;
        in_word = !space;
    }
    return tally;
}
