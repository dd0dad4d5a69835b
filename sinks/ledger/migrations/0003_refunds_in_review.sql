-- Refunds that exceed what is left of their purchase wait here until somebody decides; they are never dropped.

INSERT INTO public.ledger_accounts (ledger_account, kind, description) VALUES
    ('refunds-in-review', 'liability', 'refunds beyond their purchase, until somebody decides');
