/*
 * A plugin for QEMU's TCG that counts how often each virtual CPU executes each instruction.
 *
 *   -plugin counter.so,range=LO-HI,out=FILE
 *
 * At QEMU's end FILE has a line "ADDRESS CPU COUNT" for every count that is not 0. The guest runs
 * as without it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

static uint64_t low, high, *counts;     /* a row of addresses for each CPU, so none shares one */
static unsigned cpus;
static char *out;

static void executed(unsigned cpu, void *offset)
{
    if (cpu < cpus)
        counts[cpu * (high - low) + (uintptr_t)offset]++;
}

static void translated(plugin_id id, struct tb *tb)
{
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t at = qemu_plugin_insn_vaddr(insn);
        if (low <= at && at < high)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, executed, 0, (void *)(uintptr_t)(at - low));
    }
}

static void ended(plugin_id id, void *unused)
{
    FILE *file = fopen(out, "w");
    if (!file)
        return;                         /* who asked for it misses it */
    for (unsigned cpu = 0; cpu < cpus; cpu++)
        for (uint64_t at = low; at < high; at++) {
            uint64_t count = counts[cpu * (high - low) + at - low];
            if (count)
                fprintf(file, "%#llx %u %llu\n", (unsigned long long)at, cpu,
                        (unsigned long long)count);
        }
    fclose(file);
}

EXPORT int qemu_plugin_install(plugin_id id, const struct info *info, int argc, char **argv)
{
    cpus = info->system ? info->smp.cpus : 0;
    for (int i = 0; i < argc; i++) {
        char *value = strchr(argv[i], '='), *end;
        if (!value)
            return -1;
        *value++ = 0;
        if (!strcmp(argv[i], "range")) {
            low = strtoull(value, &end, 0);
            high = strtoull(end + 1, NULL, 0);
        } else if (!strcmp(argv[i], "out"))
            out = strdup(value);
        else
            return -1;
    }
    if (!cpus || !out || low >= high || !(counts = calloc(cpus * (high - low), sizeof *counts)))
        return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
