#!/usr/bin/perl
# An aggregate report as Mail::DMARC writes and sends it, on standard output.
# Arguments: id, domain, begin, end (seconds), then rows: address,count,disposition,dkim,spf
use strict;
use warnings;
use File::Temp;
use IO::Compress::Gzip qw(gzip $GzipError);

my ($id, $domain, $begin, $end, @rows) = @ARGV;
my $ini = File::Temp->new;
print $ini "[organization]\ndomain = receiver.example\norg_name = Receiver & Sons\nemail = noreply\@receiver.example\n";
close $ini;
$ENV{MAIL_DMARC_CONFIG_FILE} = $ini->filename;

require Mail::DMARC::Policy;
require Mail::DMARC::Report::Aggregate;
require Mail::DMARC::Report::Aggregate::Record;
require Mail::DMARC::Report::Send::SMTP;

my $report = Mail::DMARC::Report::Aggregate->new;
$report->metadata->org_name('Receiver & Sons');
$report->metadata->email('noreply@receiver.example');
$report->metadata->report_id($id);
$report->metadata->begin($begin);
$report->metadata->end($end);
my $policy = Mail::DMARC::Policy->new("v=DMARC1; p=reject; rua=mailto:dmarc\@$domain");
$policy->domain($domain);
$report->policy_published($policy);
for (@rows) {
    my ($source, $count, $disposition, $dkim, $spf) = split /,/;
    $report->record(Mail::DMARC::Report::Aggregate::Record->new(
        row => {
            source_ip => $source,
            count => $count,
            policy_evaluated => { disposition => $disposition, dkim => $dkim, spf => $spf },
        },
        identifiers => { header_from => $domain, envelope_from => "bounce.$domain" },
        auth_results => { spf => [{ domain => "bounce.$domain", scope => 'mfrom', result => $spf }], dkim => [] },
    ));
}
gzip(\$report->as_xml, \my $packed) or die $GzipError;
my $message = Mail::DMARC::Report::Send::SMTP->new->assemble_message_object(\$report, "dmarc\@$domain", $packed);
print $message->as_string;
