package activity

import (
	"context"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/store"
)

// lastYear is what a report of the year before had. The zero value is that of no report.
type lastYear struct {
	found bool
	rows  map[rules.Key]int64
	pcns  map[string]int64
	// hides tells of a PCN or a row whether its count is hidden from whoever looks; nil hides nothing.
	hidesPCN map[string]bool
	hidesRow map[rules.Key]bool
}

// keptReports reads versions of an earlier month back as one, with the rows of one PCN only; of all where it is empty.
func keptReports(ctx context.Context, q sqldb.Querier, ids []string, pcn string) (*rules.Report, error) {
	var all []*rules.Report
	for _, id := range ids {
		row, err := store.Report(ctx, q, id)
		if err != nil {
			return nil, fmt.Errorf("report of the last year %s: %w", id, err)
		}
		r, err := keptRows(ctx, q, &row, pcn)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return rules.Merge(all)
}

// lastYearOf loads the reports of the year before, with the rows of one PCN, or of all where it is empty; none for no names.
func lastYearOf(ctx context.Context, q sqldb.Querier, ids []string, pcn string) (*lastYear, error) {
	if len(ids) == 0 {
		return new(lastYear), nil
	}
	r, err := keptReports(ctx, q, ids, pcn)
	if err != nil {
		return nil, err
	}
	return lastYearIn(r, 0, nil)
}

// sharedLastYear loads them as others may see them; a limit of 0 hides nothing.
func sharedLastYear(ctx context.Context, q sqldb.Querier, ids []string, limit int64, own []string) (*lastYear, error) {
	if len(ids) == 0 {
		return new(lastYear), nil
	}
	r, err := keptReports(ctx, q, ids, "")
	if err != nil {
		return nil, err
	}
	return lastYearIn(r, limit, own)
}

func lastYearIn(r *rules.Report, limit int64, own []string) (*lastYear, error) {
	networks, err := rules.Networks(r.Rows)
	if err != nil {
		return nil, err
	}
	shared := rules.Share(networks, r.PCNs, limit, own...)
	out := &lastYear{found: true, rows: make(map[rules.Key]int64), pcns: make(map[string]int64), hidesPCN: shared.PCNs, hidesRow: make(map[rules.Key]bool)}
	for i := range r.Rows {
		out.rows[r.Rows[i].Key] += r.Rows[i].Attendances
	}
	for i := range networks {
		out.rows[networks[i].Key] = networks[i].Attendances
		out.hidesRow[networks[i].Key] = shared.Rows[i]
	}
	for i := range r.PCNs {
		out.pcns[r.PCNs[i].Code] = r.PCNs[i].Attendances
	}
	return out, nil
}

// row returns the count of a row, and of nobody where it had none; nil where there is no report, or where it is hidden.
func (l *lastYear) row(key rules.Key) *int64 {
	if !l.found || l.hidesRow[key] || l.hidesPCN[key.PCN] {
		return nil
	}
	n := l.rows[key]
	return &n
}

// pcn does so for the sum of a PCN.
func (l *lastYear) pcn(code string) *int64 {
	if !l.found || l.hidesPCN[code] {
		return nil
	}
	n := l.pcns[code]
	return &n
}

// view is a report as somebody sees it.
type view struct {
	report *rules.Report
	month  string
	level  activityv1.ReportLevel
	// list are the rows at that level.
	list []rules.Row
	last *lastYear
	// shared says what is hidden; nil hides nothing.
	shared *rules.Shared
}

func levelOr(asked activityv1.ReportLevel) activityv1.ReportLevel {
	if asked == activityv1.ReportLevel_REPORT_LEVEL_UNSPECIFIED {
		return activityv1.ReportLevel_PCN_LEVEL
	}
	return asked
}

// fullView shows every count.
func fullView(ctx context.Context, q sqldb.Querier, r *rules.Report, lastReports []string, level activityv1.ReportLevel) (*view, error) {
	last, err := lastYearOf(ctx, q, lastReports, "")
	if err != nil {
		return nil, err
	}
	v := &view{report: r, level: level, list: r.Rows, last: last}
	if level == activityv1.ReportLevel_PCN_LEVEL {
		v.list, err = rules.Networks(r.Rows)
	}
	return v, err
}

// ownView shows every count of one PCN, of a report that was read back with its rows only.
func ownView(ctx context.Context, q sqldb.Querier, r *rules.Report, lastReports []string, pcn string) (*view, error) {
	last, err := lastYearOf(ctx, q, lastReports, pcn)
	return &view{report: r, level: activityv1.ReportLevel_PRACTICE_LEVEL, list: r.Rows, last: last}, err
}

// sharedView hides small counts; own are the PCNs whose people look.
func sharedView(ctx context.Context, q sqldb.Querier, r *rules.Report, lastReports []string, limit int64, own ...string) (*view, error) {
	last, err := sharedLastYear(ctx, q, lastReports, limit, own)
	if err != nil {
		return nil, err
	}
	v := &view{report: r, level: activityv1.ReportLevel_PCN_LEVEL, last: last}
	if v.list, err = rules.Networks(r.Rows); err != nil {
		return nil, err
	}
	v.shared = rules.Share(v.list, r.PCNs, limit, own...)
	return v, nil
}

// networks are the PCNs of the report by code.
func (v *view) networks() map[string]*rules.PCN {
	out := make(map[string]*rules.PCN, len(v.report.PCNs))
	for i := range v.report.PCNs {
		out[v.report.PCNs[i].Code] = &v.report.PCNs[i]
	}
	return out
}

// rows writes the rows.
func (v *view) rows() []*activityv1.ReportRow {
	networks := v.networks()
	out := make([]*activityv1.ReportRow, len(v.list))
	for i := range v.list {
		out[i] = v.row(i, networks[v.list[i].PCN])
	}
	return out
}

func (v *view) row(i int, network *rules.PCN) *activityv1.ReportRow {
	r := &v.list[i]
	list := r.List
	if v.level == activityv1.ReportLevel_PCN_LEVEL {
		list = network.List
	}
	out := &activityv1.ReportRow{
		Month: v.month, PcnCode: r.PCN, PcnName: network.Name, PracticeCode: r.Practice, DepartmentType: departmentToProto(r.Department), Category: categoryToProto(r.Category),
		HrgCode: r.HRG, Bases: basesToProto(r.Bases), RegisteredList: list, LastYear: v.last.row(r.Key), LedElsewhere: network.LedElsewhere,
	}
	for n := range r.Lacking {
		m := missingToProto(&v.report.Missing[r.Lacking[n].Missing])
		if v.shared == nil {
			m.Attendances = &r.Lacking[n].Count
		}
		out.Missing = append(out.Missing, m)
	}
	if v.shared != nil && v.shared.Rows[i] {
		out.Hidden, out.Totals = true, new(activityv1.AttendanceTotals)
		return out
	}
	out.Totals, out.RatePer_1000 = totalsToProto(r.Totals), rules.Rate(r.Attendances, list)
	if v.shared != nil && !v.shared.Costs(r.Totals) {
		out.Totals = countOnly(r.Totals)
	}
	return out
}

// countOnly writes a count without anything of its cost.
func countOnly(t rules.Totals) *activityv1.AttendanceTotals {
	return &activityv1.AttendanceTotals{Attendances: &t.Attendances}
}

// pcnToProto writes the sums of a PCN in full.
func pcnToProto(p *rules.PCN, last *lastYear) *activityv1.PcnTotals {
	out := &activityv1.PcnTotals{
		PcnCode: p.Code, PcnName: p.Name, Totals: totalsToProto(p.Totals), RegisteredList: p.List, RatePer_1000: rules.Rate(p.Attendances, p.List),
		LastYear: last.pcn(p.Code), LedElsewhere: p.LedElsewhere,
	}
	if out.LastYear != nil {
		change := p.Attendances - out.GetLastYear()
		out.Change = &change
	}
	return out
}

// pcns writes the sums by PCN.
func (v *view) pcns() []*activityv1.PcnTotals {
	out := make([]*activityv1.PcnTotals, len(v.report.PCNs))
	for i := range v.report.PCNs {
		out[i] = v.pcn(&v.report.PCNs[i])
	}
	return out
}

func (v *view) pcn(p *rules.PCN) *activityv1.PcnTotals {
	out := pcnToProto(p, v.last)
	switch {
	case v.shared == nil:
	case v.shared.PCNs[p.Code]:
		out.Hidden, out.Totals, out.RatePer_1000, out.Change = true, new(activityv1.AttendanceTotals), "", nil
	case !v.shared.Whole(p.Code) || !v.shared.Costs(p.Totals):
		out.Totals = countOnly(p.Totals)
	}
	return out
}

// totals writes the sums of all.
func (v *view) totals() *activityv1.AttendanceTotals {
	switch {
	case v.shared == nil:
		return totalsToProto(v.report.Totals)
	case v.shared.Total:
		return new(activityv1.AttendanceTotals)
	case v.shared.Any() || !v.shared.Costs(v.report.Totals):
		return countOnly(v.report.Totals)
	default:
		return totalsToProto(v.report.Totals)
	}
}

// rate returns attendances for each 1,000 patients of the PCNs that have a list; empty where something is hidden that it would tell of.
func (v *view) rate() string {
	if v.shared != nil && (v.shared.Total || len(v.shared.PCNs) > 0) {
		return ""
	}
	var attendances, patients int64
	for i := range v.report.PCNs {
		if p := &v.report.PCNs[i]; p.List != nil {
			attendances += p.Attendances
			patients += *p.List
		}
	}
	return rules.Rate(attendances, &patients)
}

// share takes out of a report what others may not see, and says what that is.
func (v *view) share(out *activityv1.Report, policy *activityv1.SmallNumberPolicy) {
	out.View, out.Policy = activityv1.ReportView_SHARED_VIEW, policy
	out.Totals, out.Pcns = v.totals(), v.pcns()
	out.Cut.Attendances, out.Cut.UnknownPractice = out.GetTotals().Attendances, nil
	out.Notes = sharedNotes(out.GetNotes(), v.shared)
	out.GeneratedBy, out.Cut.RecordedBy = "", ""
	out.Sha256 = "" // by which a guess of what is hidden could be tried
	for _, m := range out.GetMissing() {
		m.Attendances = nil
	}
	if r := out.GetRestatement(); r != nil {
		out.Restatement = &activityv1.Restatement{BeforeReportId: r.GetBeforeReportId(), AfterReportId: r.GetAfterReportId(), Causes: r.GetCauses()}
	}
}

// sharedNotes adds that something is hidden.
func sharedNotes(notes []string, shared *rules.Shared) []string {
	if !shared.Any() {
		return notes
	}
	return append(notes, fmt.Sprintf("Counts from 1 to %d are hidden, and others from which they could be worked out.", shared.Limit))
}

// policyOf says what is hidden of a commissioner's counts.
func policyOf(settings []rules.Setting, commissioner string) *activityv1.SmallNumberPolicy {
	limit, set := rules.Limit(settings, commissioner)
	out := &activityv1.SmallNumberPolicy{HiddenUpTo: limit, Words: "No count is hidden."}
	if limit > 0 {
		out.Words = fmt.Sprintf("Counts from 1 to %d are hidden beyond the PCN and the commissioner, and others from which they could be worked out.", limit)
	}
	if set == nil {
		out.Words += " That is recommended; nobody has set another number."
	} else {
		out.SettingId = set.ID
	}
	return out
}

// sharedRestatement writes a restatement as others may see it: PCNs are left without counts that are hidden in either version.
func sharedRestatement(full *activityv1.Restatement, was, is *rules.Report, limit int64) (*activityv1.Restatement, error) {
	out := &activityv1.Restatement{
		BeforeReportId: full.GetBeforeReportId(), AfterReportId: full.GetAfterReportId(), Causes: full.GetCauses(),
		TotalsBefore: new(activityv1.AttendanceTotals), TotalsAfter: new(activityv1.AttendanceTotals),
	}
	var views [2]*view
	for i, r := range []*rules.Report{was, is} {
		networks, err := rules.Networks(r.Rows)
		if err != nil {
			return nil, err
		}
		views[i] = &view{report: r, list: networks, last: new(lastYear), shared: rules.Share(networks, r.PCNs, limit)}
	}
	if !views[0].shared.Total && !views[1].shared.Total {
		out.TotalsBefore, out.TotalsAfter = views[0].totals(), views[1].totals()
	}
	before, after := views[0].networks(), views[1].networks()
	for _, d := range full.GetDifferences() {
		code := d.GetPcnCode()
		shown := &activityv1.PcnDifference{PcnCode: code, PcnName: d.GetPcnName(), Hidden: views[0].shared.PCNs[code] || views[1].shared.PCNs[code]}
		if p := before[code]; p != nil && !shown.GetHidden() {
			shown.Before = views[0].pcn(p).GetTotals()
		}
		if p := after[code]; p != nil && !shown.GetHidden() {
			shown.After = views[1].pcn(p).GetTotals()
		}
		out.Differences = append(out.Differences, shown)
	}
	return out, nil
}
