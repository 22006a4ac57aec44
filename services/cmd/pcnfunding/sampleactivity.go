package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"github.com/pcnfunding/pcnfunding/services/sample"
)

// notSUS heads whatever shows the attendances of the sample: attendances by practice come from the Secondary Uses Service, and are told
// to nobody but commissioners.
const notSUS = "modelled, not SUS data"

// attendanceAssumptions say what the model takes as given because the publication, which is by provider, does not tell.
var attendanceAssumptions = []string{
	"a trust's attendances are of the practices of the health system it lies in today, in proportion to their registered lists",
	"providers that are no trusts are placed in no system: their attendances are of unknown practices, and commissioners of the region pay by their lists",
	"attendances of types 1 and 2 are of HRGs as those of all England in 2024/25; other departments have VB11Z alone, and walk-in centres, told by their name, no HRG",
	"whether an attendance is a first one or a follow-up is not published: its category is unknown",
}

const (
	// standInList is the list that the sample has one commissioner put in place of the tariff, of which no price was found.
	standInList = "unit-cost-2024-25"
	// attendancesShown is how many rows of a table are printed.
	attendancesShown = 5
)

// sampleAttendances takes two months of attendances through to the PCNs over gRPC, as a stranger would. What was done before stays.
func (p *process) sampleAttendances(ctx context.Context) error {
	began := time.Now()
	reach := p.reach()
	if _, err := showAttendances(ctx, reach, sample.PublishedAttendances(), nil, os.Stdout); err != nil {
		return fmt.Errorf("attendances of the sample: %w", err)
	}
	fmt.Printf("\nattendances modelled, taken in, counted by PCN and published in %s\n", time.Since(began).Round(time.Millisecond))
	return nil
}

// showAttendances takes months through for some commissioners, none for those of the system, and prints the first, and the others beside
// the one before.
func showAttendances(ctx context.Context, reach client, months []sample.Attendances, only []string, out io.Writer) ([]*attendanceSample, error) {
	var all []*attendanceSample
	for i, of := range months {
		s := &attendanceSample{of: of, only: only}
		if err := s.run(ctx, reach); err != nil {
			return nil, fmt.Errorf("%s: %w", of.Month, err)
		}
		all = append(all, s)
		err := reach.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
			if i == 0 {
				return s.print(ctx, suite, out)
			}
			return s.printBeside(all[i-1], out)
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", of.Month, err)
		}
	}
	return all, nil
}

// attendanceSample is a month on its way.
type attendanceSample struct {
	of sample.Attendances
	// only are the commissioners whose attendances are taken in; none for those of the system.
	only    []string
	model   *attendanceModel
	taken   *activityv1.AttendancesImport
	reports map[string]*activityv1.Report // by commissioner
	pcn     *activityv1.PcnReport         // of samplePCN, as its manager fetched it
}

// run takes the month through.
func (s *attendanceSample) run(ctx context.Context, reach client) error {
	for _, step := range []struct {
		by  auth.Principal
		run func(context.Context, clients) error
	}{
		{localPrincipal(optionsv1.Role_ROLE_FINANCE_APPROVER), s.choose},
		{localPrincipal(optionsv1.Role_ROLE_OPERATOR), s.load},
		{localPrincipal(optionsv1.Role_ROLE_FINANCE_PREPARER), s.build},
		{localPrincipal(optionsv1.Role_ROLE_FINANCE_APPROVER), s.publish},
		{localOfPCN(optionsv1.Role_ROLE_PCN_MANAGER, samplePCN), s.fetch},
	} {
		if err := reach.as(step.by, func(suite clients) error { return step.run(ctx, suite) }); err != nil {
			return err
		}
	}
	return nil
}

// choose makes the choices that the month needs.
func (s *attendanceSample) choose(ctx context.Context, suite clients) error {
	settings := []*activityv1.SetSettingRequest{{
		CommissionerCode: sampleCommissioner, Name: "STAND_IN_LIST", Subject: s.of.Year, Value: standInList,
		Reason: "sample: no price of the tariff was found; average unit costs of 2024/25 show what a cost looks like",
	}}
	if s.of.ListDate != "" {
		settings = append(settings, &activityv1.SetSettingRequest{
			Name: "LIST_DATE", Subject: s.of.Year, Value: s.of.ListDate, Reason: "sample: the lists of 1 January before the year are not held; these, of a year later, stand in",
		})
	}
	for _, setting := range settings {
		setting.RequestId = "sample-" + strings.ToLower(setting.GetName()) + "-" + s.of.Year
		if _, err := suite.activity.SetSetting(ctx, setting); err != nil {
			return fmt.Errorf("set %s: %w", setting.GetName(), err)
		}
	}
	return nil
}

// load makes the file of attendances and takes it in.
func (s *attendanceSample) load(ctx context.Context, suite clients) error {
	files, err := readAttendanceFiles(s.of)
	if err != nil {
		return err
	}
	if s.model, err = newAttendanceModel(s.of.Month, files); err != nil {
		return err
	}
	if len(s.only) == 0 {
		s.only = s.model.commissionersOf(s.of.System)
	}
	content, err := s.model.file(s.only...)
	if err != nil {
		return err
	}
	name := "modelled_not_sus_data_" + s.of.Month + ".csv"
	answer, err := sendAttendances(ctx, suite.activity, &activityv1.AttendancesHeader{
		RequestId: "sample-" + name, FileName: name, Cut: activityv1.CutKind_FINAL_CUT, ExtractDate: s.of.ExtractDate,
		Source: notSUS + ": made by the sample of " + s.of.Providers.Source + ", which is by provider, and registered lists",
	}, bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("take in %s: %w", name, err)
	}
	s.taken = answer.GetAttendancesImport()
	return nil
}

// sendAttendances sends a file of attendances in pieces.
func sendAttendances(
	ctx context.Context, activity activityv1.ActivityServiceClient, header *activityv1.AttendancesHeader, content io.Reader,
) (*activityv1.ImportAttendancesResponse, error) {
	stream, err := activity.ImportAttendances(ctx)
	if err != nil {
		return nil, err
	}
	err = stream.Send(&activityv1.ImportAttendancesRequest{Part: &activityv1.ImportAttendancesRequest_Header{Header: header}})
	if err == nil {
		err = inPieces(content, func(piece []byte) error {
			return stream.Send(&activityv1.ImportAttendancesRequest{Part: &activityv1.ImportAttendancesRequest_Chunk{Chunk: piece}})
		})
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return stream.CloseAndRecv() // it tells the cause where the server ended the upload early
}

// codes are the commissioners of the file.
func (s *attendanceSample) codes() []string {
	var out []string
	for _, cut := range s.taken.GetCuts() {
		out = append(out, cut.GetCommissionerCode())
	}
	return out
}

// build counts each commissioner's attendances by PCN.
func (s *attendanceSample) build(ctx context.Context, suite clients) error {
	s.reports = make(map[string]*activityv1.Report)
	var mu sync.Mutex
	return eachOf("counting attendances of "+s.of.Month, s.codes(), func(code string) error {
		report, err := suite.activity.BuildReport(ctx, &activityv1.BuildReportRequest{
			RequestId: "sample-build-" + s.of.Month + "-" + code, CommissionerCode: code, Month: s.of.Month,
		})
		mu.Lock()
		defer mu.Unlock()
		s.reports[code] = report
		return err
	})
}

// publish gives each PCN its part.
func (s *attendanceSample) publish(ctx context.Context, suite clients) error {
	return eachOf("publishing attendances of "+s.of.Month, s.codes(), func(code string) error {
		_, err := suite.activity.PublishReport(ctx, &activityv1.PublishReportRequest{
			RequestId: "sample-publish-" + s.of.Month + "-" + code, CommissionerCode: code, Month: s.of.Month, ReportId: s.reports[code].GetReportId(),
		})
		return err
	})
}

// fetch reads one PCN's part on behalf of its manager, which is the proof that it came.
func (s *attendanceSample) fetch(ctx context.Context, suite clients) (err error) {
	s.pcn, err = suite.activity.GetPcnReport(ctx, &activityv1.GetPcnReportRequest{PcnCode: samplePCN, Month: s.of.Month})
	return err
}

// print writes what the month came to, and fails where sums do not add up to the publication.
func (s *attendanceSample) print(ctx context.Context, suite clients, out io.Writer) error {
	title := "A&E attendances of " + s.of.Month + " in " + s.of.SystemName + ": " + notSUS
	_, _ = fmt.Fprintf(out, "\n%s\n%s\n", title, strings.Repeat("─", len([]rune(title))))
	_, _ = fmt.Fprintf(out, "made of %s:\n%s attendances at %d providers; by practice nothing is published. Taken as given:\n", s.of.Providers.Source, count(s.model.total()), len(s.model.providers))
	for _, assumed := range attendanceAssumptions {
		_, _ = fmt.Fprintln(out, "  -", assumed)
	}
	unplaced := s.model.unplaced()
	var names []string
	var apart int64
	for i, p := range unplaced {
		if apart += p.total(); i < attendancesShown {
			names = append(names, fmt.Sprintf("%s %s (%s)", p.code, p.name, count(p.total())))
		}
	}
	_, _ = fmt.Fprintf(out, "not placed: %d providers with %s attendances: %s …\n", len(unplaced), count(apart), strings.Join(names, ", "))
	for _, step := range []func() error{
		func() error { return s.printCommissioners(out) }, func() error { return s.printMissing(ctx, suite, out) },
		func() error { return s.printPCN(out) }, func() error { return s.printDelivery(ctx, suite, out) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// attendanceSums is what one or more reports came to.
type attendanceSums struct {
	attendances, uncosted, noPCN, unknown int64
	costed                                money.Pence
}

func (a *attendanceSums) add(b attendanceSums) {
	a.attendances, a.uncosted, a.noPCN, a.unknown = a.attendances+b.attendances, a.uncosted+b.uncosted, a.noPCN+b.noPCN, a.unknown+b.unknown
	a.costed += b.costed
}

// sumsOf adds a report up, and fails where its parts are not its whole or that is not what the cut has.
func sumsOf(report *activityv1.Report) (attendanceSums, error) {
	var sum attendanceSums
	for _, p := range report.GetPcns() {
		n := p.GetTotals().GetAttendances()
		one := attendanceSums{attendances: n, uncosted: p.GetTotals().GetUncostedAttendances(), costed: money.Pence(p.GetTotals().GetCostedPence())}
		switch p.GetPcnCode() {
		case "NO_PCN":
			one.noPCN = n
		case "UNKNOWN":
			one.unknown = n
		}
		sum.add(one)
	}
	if sum.attendances != report.GetTotals().GetAttendances() || sum.attendances != report.GetCut().GetAttendances() {
		return sum, fmt.Errorf("the PCNs of %s have %d attendances, its report %d and its cut %d", report.GetCommissionerCode(), sum.attendances,
			report.GetTotals().GetAttendances(), report.GetCut().GetAttendances())
	}
	return sum, nil
}

// attendanceLine is what a commissioner's report came to.
type attendanceLine struct {
	code, name string
	attendanceSums
}

// lines adds the reports up, those with most attendances first, and fails where they do not come to what was taken in. It returns the
// number of PCNs too.
func (s *attendanceSample) lines() (lines []attendanceLine, all attendanceSums, pcns int, err error) {
	codes := make(map[string]bool)
	for code, report := range s.reports {
		sum, err := sumsOf(report)
		if err != nil {
			return nil, all, 0, err
		}
		all.add(sum)
		lines = append(lines, attendanceLine{code, report.GetCommissionerName(), sum})
		for _, p := range report.GetPcns() {
			if p.GetPcnCode() != "NO_PCN" && p.GetPcnCode() != "UNKNOWN" {
				codes[p.GetPcnCode()] = true
			}
		}
	}
	if want := s.model.total(s.only...); all.attendances != want || s.taken.GetAttendances() != want {
		return nil, all, 0, fmt.Errorf("the reports have %d attendances, the file %d and the model %d", all.attendances, s.taken.GetAttendances(), want)
	}
	slices.SortFunc(lines, func(a, b attendanceLine) int {
		return cmp.Or(cmp.Compare(b.attendances, a.attendances), cmp.Compare(a.code, b.code))
	})
	return lines, all, len(codes), nil
}

func (s *attendanceSample) printCommissioners(out io.Writer) error {
	lines, all, pcns, err := s.lines()
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "\n%d commissioners · %s PCNs · %s attendances in %s rows\n\n", len(lines), count(int64(pcns)), count(all.attendances), count(s.taken.GetRows()))
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(w, "attendances\tnotional cost\twithout cost\tno PCN\tunknown\tadds up\t  commissioner\t")
	for _, l := range append(lines, attendanceLine{"", "all", all}) {
		cost := l.costed.String()
		if l.uncosted == l.attendances {
			cost = "not known"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\tyes\t  %s\t\n", count(l.attendances), cost, count(l.uncosted), count(l.noPCN), count(l.unknown), strings.TrimSpace(l.code+" "+l.name))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "costs are notional, never an amount owed: %s has put average unit costs of 2024/25 in place of the tariff, of which no price was found\n", sampleCommissioner)
	return err
}

// printMissing writes what the attendances of the commissioner with most without a cost wait for.
func (s *attendanceSample) printMissing(ctx context.Context, suite clients, out io.Writer) error {
	var of *activityv1.Report
	for _, code := range slices.Sorted(maps.Keys(s.reports)) {
		if r := s.reports[code]; r.GetTotals().GetUncostedAttendances() > of.GetTotals().GetUncostedAttendances() {
			of = r
		}
	}
	if of == nil {
		return nil
	}
	waiting, example := make(map[string]int), make(map[string]string)
	req := &activityv1.GetReportRequest{ReportId: of.GetReportId(), IncludeRows: true}
	for {
		answer, err := suite.activity.GetReport(ctx, req)
		if err != nil {
			return err
		}
		for _, row := range answer.GetRows() {
			for _, m := range row.GetMissing() {
				waiting[m.GetReason()] += int(m.GetAttendances())
				if example[m.GetReason()] == "" || m.GetMissing() < example[m.GetReason()] {
					example[m.GetReason()] = m.GetMissing()
				}
			}
		}
		if req.PageToken = answer.GetNextPageToken(); req.GetPageToken() == "" {
			break
		}
	}
	_, _ = fmt.Fprintf(out, "\nattendances of %s %s stand without a cost, and say what is missing\n", of.GetCommissionerCode(), of.GetCommissionerName())
	for _, reason := range sortedNames(waiting) {
		_, _ = fmt.Fprintf(out, "  %s  %s attendances, such as for the %s\n", reason, count(int64(waiting[reason])), example[reason])
	}
	return nil
}

// printPCN writes what a PCN got.
func (s *attendanceSample) printPCN(out io.Writer) error {
	t := s.pcn.GetTotals()
	_, _ = fmt.Fprintf(out, "\n%s %s: %s attendances of %s patients, %s in 1,000, notionally %s; of the year before there is no report, for members begin in September 2020\n",
		s.pcn.GetPcnCode(), s.pcn.GetPcnName(), count(t.GetTotals().GetAttendances()), count(t.GetRegisteredList()), t.GetRatePer_1000(), notionalCost(t.GetTotals()))
	rows := slices.Clone(s.pcn.GetRows())
	slices.SortStableFunc(rows, func(a, b *activityv1.ReportRow) int {
		return cmp.Compare(b.GetTotals().GetAttendances(), a.GetTotals().GetAttendances())
	})
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	for _, row := range rows[:min(len(rows), attendancesShown)] {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s attendances\t%s\t%s in 1,000\t\n", row.GetPracticeCode(), lower(row.GetDepartmentType().String()), row.GetHrgCode(),
			count(row.GetTotals().GetAttendances()), notionalCost(row.GetTotals()), row.GetRatePer_1000())
	}
	return w.Flush()
}

// printDelivery writes where the PCNs of a commissioner stand with their reports.
func (s *attendanceSample) printDelivery(ctx context.Context, suite clients, out io.Writer) error {
	answer, err := suite.activity.ListDeliveries(ctx, &activityv1.ListDeliveriesRequest{CommissionerCode: sampleCommissioner, Month: s.of.Month})
	if err != nil {
		return err
	}
	var states []string
	for _, name := range sortedNames(intsOf(answer.GetStates())) {
		states = append(states, fmt.Sprintf("%d %s", answer.GetStates()[name], lower(name)))
	}
	due := "no due day is set"
	for _, d := range answer.GetDeliveries() {
		if d.GetDueOn() != "" {
			due = "due on " + d.GetDueOn()
		}
	}
	_, err = fmt.Fprintf(out, "\nreports of %s: %s; %s\n", sampleCommissioner, strings.Join(states, ", "), due)
	return err
}

// printBeside writes the month beside the same of the year before.
func (s *attendanceSample) printBeside(before *attendanceSample, out io.Writer) error {
	lines, all, _, err := s.lines()
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "\n%s beside %s: %s, from %s attendances of England\n", s.of.Month, before.of.Month, notSUS, count(s.model.total()))
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintf(w, "%s\t%s\t  commissioner\t\n", before.of.Month, s.of.Month)
	for _, l := range append(lines, attendanceLine{"", "all", all}) {
		was := before.model.total(before.only...)
		if l.code != "" {
			was = before.reports[l.code].GetTotals().GetAttendances()
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t  %s\t\n", count(was), count(l.attendances), strings.TrimSpace(l.code+" "+l.name))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	t := s.pcn.GetTotals()
	_, err = fmt.Fprintf(out, "\n%s %s: %s attendances, %s in 1,000; the year before %s\n", s.pcn.GetPcnCode(), s.pcn.GetPcnName(), count(t.GetTotals().GetAttendances()), t.GetRatePer_1000(), count(t.GetLastYear()))
	return err
}

func intsOf(of map[string]int32) map[string]int {
	out := make(map[string]int, len(of))
	for name, n := range of {
		if n > 0 {
			out[name] = int(n)
		}
	}
	return out
}
