/*
 * The priority array once more, in C as one would write it from the description of Linux 2.6.11:
 * something to measure the assembly of guest/sched against. And what it replaced: one list of all
 * runnable tasks, searched from end to end.
 */

#define MAX_PRIO 140
#define BITS_PER_LONG 64

struct link {
    struct link *next, *prev;
};

struct prio_array {
    unsigned long nr_active;
    unsigned long bitmap[3];
    struct link queue[MAX_PRIO];
};

struct task {
    struct link run_list; /* first, so that a link is its task */
    struct prio_array *array;
    int prio;
    unsigned long last_queued;
};

const unsigned long task_bytes = sizeof(struct task);
const unsigned long array_bytes = sizeof(struct prio_array);

static void link_before(struct link *added, struct link *next)
{
    added->next = next;
    added->prev = next->prev;
    next->prev->next = added;
    next->prev = added;
}

void task_init(struct task *p, int prio)
{
    p->prio = prio;
    p->array = 0;
    p->last_queued = 0;
}

void array_init(struct prio_array *array)
{
    array->nr_active = 0;
    array->bitmap[0] = array->bitmap[1] = 0;
    array->bitmap[2] = 1UL << (MAX_PRIO % BITS_PER_LONG);
    for (int prio = 0; prio < MAX_PRIO; prio++)
        array->queue[prio].next = array->queue[prio].prev = &array->queue[prio];
}

void enqueue_task(struct task *p, struct prio_array *array, unsigned long jiffies)
{
    if (!p->last_queued)
        p->last_queued = jiffies;
    link_before(&p->run_list, &array->queue[p->prio]);
    array->bitmap[p->prio / BITS_PER_LONG] |= 1UL << (p->prio % BITS_PER_LONG);
    array->nr_active++;
    p->array = array;
}

void dequeue_task(struct task *p, struct prio_array *array)
{
    struct link *head = &array->queue[p->prio];

    array->nr_active--;
    p->run_list.next->prev = p->run_list.prev;
    p->run_list.prev->next = p->run_list.next;
    if (head->next == head)
        array->bitmap[p->prio / BITS_PER_LONG] &= ~(1UL << (p->prio % BITS_PER_LONG));
}

int sched_find_first_bit(const unsigned long *bitmap)
{
    if (bitmap[0])
        return __builtin_ctzl(bitmap[0]);
    if (bitmap[1])
        return __builtin_ctzl(bitmap[1]) + BITS_PER_LONG;
    return __builtin_ctzl(bitmap[2]) + 2 * BITS_PER_LONG;
}

void list_init(struct link *all)
{
    all->next = all->prev = all;
}

void list_add(struct task *p, struct link *all)
{
    link_before(&p->run_list, all);
}

struct task *list_best(struct link *all)
{
    struct task *best = 0;

    for (struct link *at = all->next; at != all; at = at->next) {
        struct task *p = (struct task *)at;
        if (!best || p->prio < best->prio)
            best = p;
    }
    return best;
}
