/**
 * The id of a user's sockets: a topic on which all of them can be closed, and each told something.
 */
export const userTopic = (userId: number): string => `users:${userId}`;
