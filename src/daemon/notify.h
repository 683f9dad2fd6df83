/*
 * Telling the service manager (sd_notify(3)'s protocol: one datagram to $NOTIFY_SOCKET).
 * Without one, nothing happens. Main thread.
 */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

/* state: "READY=1", "STOPPING=1", "RELOADING=1\nMONOTONIC_USEC=…", "STATUS=…". */
void notify(const char *state);

#endif
