# Reads notices with Mail::DeliveryStatus::BounceParser: a JSON list of base64 texts comes in, a JSON list of what was found
# goes out.
use strict;
use warnings;
use JSON::PP;
use MIME::Base64;
use Mail::DeliveryStatus::BounceParser;

local $/;
my @found;
for my $raw (@{ decode_json(<STDIN>) }) {
  my $bounce = Mail::DeliveryStatus::BounceParser->new(decode_base64($raw));
  push @found, {
    bounce => $bounce->is_bounce ? JSON::PP::true : JSON::PP::false,
    type => $bounce->{type},
    message => $bounce->orig_message_id,
    reports => [map {
      my $report = $_;
      +{ map { my $value = $report->get($_); $value =~ s/\s+/ /g; ($_ => $value) } qw(email std_reason smtp_code reason Status) };
    } $bounce->reports],
  };
}
print JSON::PP->new->canonical->encode(\@found);
