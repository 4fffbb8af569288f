/*
 * A plugin for QEMU's TCG that decides which virtual CPU executes the next instruction of the
 * scheduler: PCT or a random walk, from a seed. The guest is untouched and the whole machine runs.
 *
 *   -plugin plugin.so,mode=pct|yield|plain,depth=D,length=K,seed=S,range=LO-HI,range=LO-HI...
 *
 * It needs one host thread for all CPUs, one instruction per translation block, and two functions
 * of QEMU that are exported without being plugin interface: cpu_exit, cpu_loop_exit_restore. Steps
 * go to stderr at the end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

#define MOST_CPUS 256
#define MOST_RANGES 32
#define MOST_DEPTH 64
#define PATIENCE 8      /* turns of all CPUs until one that does not come counts as blocked */
#define FAIR_ONE_IN 50  /* after `length` steps: a random walk, so that nothing starves */

extern __thread void *current_cpu;
void cpu_exit(void *);
void cpu_loop_exit_restore(void *, uintptr_t) __attribute__((noreturn));

static enum { PLAIN, PCT, YIELD } mode;
static uint64_t depth = 1, length = 1, state, steps;
static uint64_t low[MOST_RANGES], high[MOST_RANGES], change[MOST_DEPTH];
static int ranges, cpus;
static int64_t priority[MOST_CPUS], lowest;
static int waited[MOST_CPUS];   /* turns for which others have waited for a CPU */
static bool again[MOST_CPUS];   /* stands before an instruction already counted */

static uint64_t chance(uint64_t below)  /* xorshift64* (Vigna 2016) */
{
    state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
    return (state * 0x2545f4914f6cdd1dull >> 16) % below;
}

static int best(void)                   /* of the CPUs that do not count as blocked */
{
    int found = -1;
    for (int cpu = 0; cpu < cpus; cpu++)
        if (waited[cpu] <= PATIENCE * cpus && (found < 0 || priority[cpu] > priority[found]))
            found = cpu;
    return found;
}

/* Leaves the instruction undone; the next CPU's turn. Not a function: its caller is the code. */
#define GIVE_WAY(cpu) do { \
        again[cpu] = true; \
        cpu_exit(current_cpu); \
        cpu_loop_exit_restore(current_cpu, (uintptr_t)__builtin_return_address(0)); \
    } while (0)

static void at_step(unsigned cpu, void *unused)
{
    bool counted = again[cpu];
    again[cpu] = false;
    waited[cpu] = 0;
    steps += !counted;
    if (mode == YIELD || (mode == PCT && steps > length)) {
        if (!counted && chance(mode == YIELD ? depth : FAIR_ONE_IN) == 0)
            GIVE_WAY(cpu);
    } else if (mode == PCT) {
        for (uint64_t i = 0; !counted && i + 1 < depth; i++)
            if (change[i] == steps)
                priority[cpu] = --lowest;
        int chosen = best();
        if (chosen != (int)cpu) {
            waited[chosen]++;
            GIVE_WAY(cpu);
        }
    }
}

static void at_pause(unsigned cpu, void *unused)   /* it waits for a lock: the holder first */
{
    waited[cpu] = again[cpu] = 0;
    priority[cpu] = --lowest;
}

static void translated(plugin_id id, struct tb *tb)
{
    uint64_t at = qemu_plugin_tb_vaddr(tb);
    const struct insn *first = qemu_plugin_tb_get_insn(tb, 0);
    bool pauses = qemu_plugin_insn_size(first) == 2 &&
                  memcmp(qemu_plugin_insn_data(first), "\xf3\x90", 2) == 0;
    for (int i = 0; i < ranges; i++)
        if (low[i] <= at && at < high[i])
            qemu_plugin_register_vcpu_tb_exec_cb(tb, pauses ? at_pause : at_step, 0, NULL);
}

static void ended(plugin_id id, void *unused)
{
    fprintf(stderr, "explore: %llu steps\n", (unsigned long long)steps);
}

EXPORT int qemu_plugin_install(plugin_id id, const struct info *info, int argc, char **argv)
{
    cpus = info->system ? info->smp.cpus : 0;
    for (int i = 0; i < argc; i++) {
        char *value = strchr(argv[i], '='), *end;
        if (!value || cpus < 1 || cpus > MOST_CPUS)
            return -1;
        *value++ = 0;
        if (!strcmp(argv[i], "mode"))
            mode = !strcmp(value, "pct") ? PCT : !strcmp(value, "yield") ? YIELD : PLAIN;
        else if (!strcmp(argv[i], "depth"))
            depth = strtoull(value, NULL, 0);
        else if (!strcmp(argv[i], "length"))
            length = strtoull(value, NULL, 0);
        else if (!strcmp(argv[i], "seed"))
            state = strtoull(value, NULL, 0);
        else if (!strcmp(argv[i], "range") && ranges < MOST_RANGES) {
            low[ranges] = strtoull(value, &end, 0);
            high[ranges++] = strtoull(end + 1, NULL, 0);
        } else
            return -1;
    }
    state = (state + 1) * 0x9e3779b97f4a7c15ull | 1, length += length == 0, depth += depth == 0;
    if (depth > MOST_DEPTH && mode == PCT)
        return -1;
    for (int cpu = 0; cpu < cpus; cpu++) {         /* a random order */
        int other = (int)chance((uint64_t)cpu + 1);
        priority[cpu] = priority[other], priority[other] = cpu;
    }
    for (uint64_t i = 0; mode == PCT && i + 1 < depth; i++)
        change[i] = 1 + chance(length);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
