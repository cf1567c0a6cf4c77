#!/usr/bin/perl
# Signs the message on standard input with Mail::DKIM, and prints the signature.
# Arguments: domain, selector, file of the key, canonicalization (relaxed/simple)
use strict;
use warnings;
use Mail::DKIM::Signer;

my ($domain, $selector, $key, $method) = @ARGV;
my $signer = Mail::DKIM::Signer->new(
    Algorithm => 'rsa-sha256', Method => $method, Domain => $domain, Selector => $selector, KeyFile => $key,
);
binmode STDIN;
while (<STDIN>) { $signer->PRINT($_) }
$signer->CLOSE;
my $signature = $signer->signature->as_string;
$signature =~ s/\r?\n/\r\n/g;
print "$signature\r\n";
