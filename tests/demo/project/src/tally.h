#ifndef TALLY_H
#define TALLY_H

#include <stdio.h>

struct tally {
    unsigned long lines;
    unsigned long words;
    unsigned long bytes;
};

/* Counts what is left in `in`. */
struct tally tally_stream(FILE *in);

#endif
