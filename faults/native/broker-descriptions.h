/*
 * Which open file description a descriptor stands for, without following every close and dup of the store: each
 * description that is opened in the data directory is marked, in the kernel, with a number that stays with it, whoever
 * shares it. The mark is its signal for asynchronous notification (F_SETSIG), which files on a disk never send; a
 * store that used it would find another. Marks go from 1 to 64 and are unique per file.
 */
#ifndef ACKED_BROKER_DESCRIPTIONS_H
#define ACKED_BROKER_DESCRIPTIONS_H

/* A descriptor was opened just now: its description gets its id (see new_description in calls.h). */
void describe_opened(int fd);

#endif
