/*
 * Which open file description is behind a descriptor of this process, for files of the data directory: only for the
 * question whom a failed sync has been reported to (failures.h). Kept by watching open, dup, close and fork; an entry
 * counts only while it names the inode that the descriptor has now, so an invisible close does no harm.
 * A descriptor that was inherited over exec, or opened invisibly, is taken for one opened at first sight.
 */
#ifndef ACKED_DESCRIPTORS_H
#define ACKED_DESCRIPTORS_H

void descriptor_opened(int fd);
void descriptor_duplicated(int from, int to);
void descriptors_closed(unsigned first, unsigned last);

#endif
