/**
 * The one form in which an e-mail address is compared: without spaces around it, composed (NFC), in
 * small letters. It is compared by its bytes, on every database. Accounts are unique by it, found
 * by it, and wrong passwords are counted by it, so that two spellings count as one exactly when
 * they are the same account.
 */
export const normalEmail = (email: string): string => email.trim().normalize("NFC").toLowerCase();
