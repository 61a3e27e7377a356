#include "tally.h"

int main(void)
{
    struct tally tally = tally_stream(stdin);

    printf("%lu lines, %lu words, %lu bytes\n", tally.lines, tally.words, tally.bytes);
    return 0;
}
