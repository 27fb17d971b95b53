/**
 * The id of a user's sockets: a topic by which all of them can be closed, and each can get an
 * event.
 */
export const userTopic = (userId: number): string => `users:${userId}`;
