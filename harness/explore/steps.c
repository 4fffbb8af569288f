/*
 * Counts the accesses of Unicorn's CPUs to shared memory, and stops a CPU before the one at which
 * it is to stop. Called before every instruction, which costs Python too much.
 *
 * The same as `Steps` of steps.py does where there is no compiler. The structures are those there.
 */
#include <stdint.h>

enum kind { NONE, ONCE, TWICE };                /* accesses of an instruction */
enum standing { RUNS, BEFORE, BETWEEN };        /* its first access, its two accesses */

struct steps {
    uint64_t taken, stop_at;
    uint64_t start;                             /* address of the first of `kinds` */
    const uint8_t *kinds;                       /* of the instruction at each address */
    void (*stop)(void *uc);
};
struct stand { struct steps *steps; uint64_t standing; };

static int step(void *uc, struct stand *stand, enum standing standing)
{
    if (++stand->steps->taken < stand->steps->stop_at)
        return 0;
    stand->standing = standing;
    stand->steps->stop(uc);
    return 1;
}

__attribute__((visibility("default")))
void before_instruction(void *uc, uint64_t address, uint32_t size, void *of_cpu)
{
    struct stand *stand = of_cpu;
    enum kind kind = stand->steps->kinds[address - stand->steps->start];
    enum standing was = stand->standing;

    (void)size;
    if (kind == NONE)
        return;
    stand->standing = RUNS;
    if (was == BETWEEN || (was == BEFORE && kind == ONCE))
        return;
    if (was == RUNS && step(uc, stand, BEFORE))
        return;
    if (kind == TWICE)
        step(uc, stand, BETWEEN);
}
