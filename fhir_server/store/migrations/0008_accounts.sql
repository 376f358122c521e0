-- Passwords that are not of their owner's choice, and the record of what is done at the server's own terminal.
--
-- password_given  who chose the password, where that was not its owner: "start" the first start of the server, "administrator"
--                 one who runs it, and then another one is chosen at the next sign-in with it
-- operator        the account of the operating system that ran an administration command

ALTER TABLE account ADD COLUMN password_given text CHECK (password_given IN ('start', 'administrator'));
ALTER TABLE audit ADD COLUMN operator text;
