package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"math/big"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/sample"
)

// overridden is the indicator whose measured points were set aside by a national decision.
const overridden = "ACC-08"

// sampleAchievement works a year of the Investment and Impact Fund out for every PCN over gRPC, as a stranger would, from published and
// modelled counts. What was done before stays.
func (p *process) sampleAchievement(ctx context.Context) error {
	began := time.Now()
	reach := p.reach()
	s := &achievementSample{of: sample.PublishedAchievement()}
	err := reach.withClients(optionsv1.Role_ROLE_FINANCE_PREPARER, func(suite clients) (err error) {
		s.codes, err = commissioners(ctx, suite.register, s.of.Month)
		return err
	})
	if err == nil {
		err = s.run(ctx, reach, os.Stdout)
	}
	if err != nil {
		return fmt.Errorf("year of the IIF of the sample: %w", err)
	}
	fmt.Printf("\ncounts taken in and the year worked out in %s\n", time.Since(began).Round(time.Millisecond))
	return nil
}

// achievementSample is the year on its way.
type achievementSample struct {
	of    sample.Achievement
	codes []string // of commissioners
	model *achievementModel
	// unadjusted are the indicators that the sample takes no prevalence to adjust.
	unadjusted []string
	done       calculated
	all        []*iifv1.Achievement
}

// run takes the year through and prints what it came to.
func (s *achievementSample) run(ctx context.Context, reach client, out io.Writer) error {
	// Who enters figures of a year approves no money of it: they are not those of the commands.
	keeper := localPrincipal(optionsv1.Role_ROLE_FINANCE_APPROVER)
	keeper.Subject = "local.sample.figures"
	for _, step := range []struct {
		by  auth.Principal
		run func(context.Context, clients) error
	}{
		{localPrincipal(optionsv1.Role_ROLE_OPERATOR), s.load},
		{keeper, s.assume},
		{localPrincipal(optionsv1.Role_ROLE_FINANCE_PREPARER), s.calculate},
		{localPrincipal(optionsv1.Role_ROLE_AUDITOR), func(ctx context.Context, suite clients) error { return s.print(ctx, suite, out) }},
	} {
		if err := reach.as(step.by, func(suite clients) error { return step.run(ctx, suite) }); err != nil {
			return err
		}
	}
	return nil
}

// load takes in the published counts and those that are modelled.
func (s *achievementSample) load(ctx context.Context, suite clients) error {
	members, err := s.of.Members.Read()
	if err != nil {
		return err
	}
	lists, err := s.of.Lists.Read()
	if err != nil {
		return err
	}
	if s.model, err = newAchievementModel(s.of.AchievedOn, members, lists); err != nil {
		return err
	}
	published, err := s.of.Counts.Read()
	if err != nil {
		return err
	}
	made, err := s.model.file()
	if err != nil {
		return err
	}
	for _, file := range []struct {
		name, source string
		layout       iifv1.CountsLayout
		content      []byte
	}{
		{s.of.Counts.Name, s.of.Counts.Source, iifv1.CountsLayout_ANNUAL_PUBLICATION, published},
		{
			"modelled_not_actual_" + s.of.AchievedOn + ".csv", notActual + ": counts of the sample, from lists and national rates",
			iifv1.CountsLayout_CQRS_EXTRACT, made,
		},
	} {
		_, err := sendCounts(ctx, suite.iif, &iifv1.CountsHeader{
			RequestId: "sample-" + file.name, Layout: file.layout, FileName: file.name, Source: file.source,
		}, bytes.NewReader(file.content))
		if err != nil {
			return fmt.Errorf("take in %s: %w", file.name, err)
		}
	}
	return nil
}

// assume enters the figures of the year that nobody published, each as an assumption of the sample.
func (s *achievementSample) assume(ctx context.Context, suite clients) error {
	figures, err := listFigures(ctx, suite.iif, &iifv1.ListFiguresRequest{FinancialYear: s.of.Year})
	if err != nil {
		return err
	}
	for _, f := range figures {
		if v := f.GetValue(); v.GetField() == iifv1.ValueField_PREVALENCE_ADJUSTED && v.GetValue() != "1" {
			s.unadjusted = append(s.unadjusted, v.GetIndicatorCode())
		}
	}
	for _, f := range figures {
		value, source := s.assumption(f)
		if source == "" {
			continue
		}
		_, err := suite.iif.ConfirmFigure(ctx, &iifv1.ConfirmFigureRequest{
			RequestId: "sample-figure-" + f.GetFigureId(), FigureId: f.GetFigureId(), Value: value, Source: source,
			Confidence: typev1.Confidence_CONFIDENCE_INFERRED, Note: "entered by the sample; not for payment",
		})
		if err != nil {
			return fmt.Errorf("confirm %s: %w", f.GetFigureId(), err)
		}
	}
	return nil
}

// assumption returns what the sample takes a figure for, and on what grounds; no grounds for one that it leaves open.
func (s *achievementSample) assumption(f *iifv1.Figure) (value, source string) {
	v, waits := f.GetValue(), f.GetConfidence() == typev1.Confidence_CONFIDENCE_CANDIDATE || f.GetConfidence() == typev1.Confidence_CONFIDENCE_UNKNOWN
	switch {
	case v == nil || !waits:
		return "", ""
	case v.GetField() == iifv1.ValueField_NATIONAL_AVERAGE_LIST_SIZE:
		return s.model.average(), fmt.Sprintf("sample assumption: mean over %d PCNs of the lists that stand in for 1 January 2023", len(s.model.pcns))
	case v.GetField() == iifv1.ValueField_NATIONAL_PREVALENCE_PERCENT:
		if value = s.model.prevalence(v.GetIndicatorCode()); value == "" || slices.Contains(s.unadjusted, v.GetIndicatorCode()) {
			return "", ""
		}
		return value, "sample assumption: modelled patients of the indicator over all patients of PCNs"
	case v.GetField() == iifv1.ValueField_PREVALENCE_ADJUSTED && v.GetValue() == "":
		return "0", "sample assumption: referrals and appointments are no register of patients, so no prevalence adjusts them"
	case v.GetValue() != "":
		return "", "sample assumption: the candidate is taken as it stands (" + f.GetSource() + ")"
	default:
		return "", ""
	}
}

// calculate works the year out for all commissioners.
func (s *achievementSample) calculate(ctx context.Context, suite clients) (err error) {
	requestID := func(commissioner string) string { return "sample-iif-" + s.of.Year + "-" + commissioner }
	s.done, err = calculateYear(ctx, suite.iif, s.of.Year, s.codes, requestID)
	return err
}

// print writes what the year came to, and what it rests on before it.
func (s *achievementSample) print(ctx context.Context, suite clients, out io.Writer) error {
	entered, err := listFigures(ctx, suite.iif, &iifv1.ListFiguresRequest{FinancialYear: s.of.Year})
	if err != nil {
		return err
	}
	if s.all, err = s.years(ctx, suite.iif); err != nil {
		return err
	}
	title := s.of.Year + " of the Investment and Impact Fund: " + overridden + " as published, the other counts " + notActual
	_, _ = fmt.Fprintf(out, "\n%s\n%s\n", title, strings.Repeat("─", len([]rune(title))))
	_, _ = fmt.Fprintf(out, "%s, summed to PCNs by their members on %s\nmodelled, by practice, up to a quarter above or below the average:\n", s.of.Counts.Source, s.of.AchievedOn)
	for i := range modelledIndicators {
		_, _ = fmt.Fprintln(out, "  -", modelledIndicators[i].words)
	}
	_, _ = fmt.Fprintln(out, "assumed by the sample, because nobody published it:")
	for _, f := range entered {
		if strings.HasPrefix(f.GetSource(), "sample assumption") {
			what, value := figureWords(f)
			_, _ = fmt.Fprintf(out, "  - %s: %s (%s)\n", what, value, strings.TrimPrefix(f.GetSource(), "sample assumption: "))
		}
	}
	return s.printYear(out)
}

// years returns the years of all PCNs with their indicators, by PCN.
func (s *achievementSample) years(ctx context.Context, iif iifv1.IifServiceClient) ([]*iifv1.Achievement, error) {
	var heads []*iifv1.Achievement
	for _, code := range s.codes {
		some, err := listAchievements(ctx, iif, &iifv1.ListAchievementsRequest{CommissionerCode: code, FinancialYear: s.of.Year})
		if err != nil {
			return nil, err
		}
		heads = append(heads, some...)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(sampleAtOnce)
	out := make([]*iifv1.Achievement, len(heads))
	for i, head := range heads {
		group.Go(func() (err error) {
			out[i], err = iif.GetAchievement(ctx, &iifv1.GetAchievementRequest{PcnCode: head.GetPcnCode(), FinancialYear: s.of.Year})
			return err
		})
	}
	err := group.Wait()
	slices.SortFunc(out, func(a, b *iifv1.Achievement) int { return strings.Compare(a.GetPcnCode(), b.GetPcnCode()) })
	return out, err
}

// indicatorTotal is what an indicator came to over PCNs.
type indicatorTotal struct {
	code, name             string
	counted                int // PCNs with counts
	numerator, denominator *big.Rat
	points                 *big.Rat // measured
	measured, due          money.Pence
}

// printYear writes what the year came to, indicator by indicator, and what the override changed.
func (s *achievementSample) printYear(out io.Writer) error {
	var due, measured money.Pence
	notWhole := 0
	var order []string
	totals := make(map[string]*indicatorTotal)
	for _, a := range s.all {
		r := a.GetResult()
		due, measured = due+money.Pence(r.GetDuePence()), measured+money.Pence(r.GetMeasuredPence())
		if !r.GetWhole() {
			notWhole++
		}
		for _, it := range r.GetIndicators() {
			t := totals[it.GetIndicatorCode()]
			if t == nil {
				t = &indicatorTotal{code: it.GetIndicatorCode(), name: it.GetName(), numerator: new(big.Rat), denominator: new(big.Rat), points: new(big.Rat)}
				totals[t.code], order = t, append(order, t.code)
			}
			if err := t.add(it); err != nil {
				return fmt.Errorf("%s of %s: %w", t.code, a.GetPcnCode(), err)
			}
		}
	}
	_, _ = fmt.Fprintf(out, "\n%s PCNs of %d commissioners: %s due, %s by what was measured; %d years are not whole\n\n", count(int64(len(s.all))), len(s.codes), due, measured, notWhole)
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(w, "indicator\tPCNs\tachieved\tpoints measured\tmeasured\tdue\t")
	for _, code := range order {
		t := totals[code]
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s%%\t%s\t%s\t%s\t\n", t.code, count(int64(t.counted)), t.percent(), t.mean(), t.measured, t.due)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := s.printOverride(out, w); err != nil {
		return err
	}
	return s.printEnds(out, w)
}

func (t *indicatorTotal) add(it *iifv1.IndicatorResult) error {
	if it.GetCounted() {
		t.counted++
	}
	for _, part := range []struct {
		text string
		into *big.Rat
	}{{it.GetNumerator(), t.numerator}, {it.GetDenominator(), t.denominator}, {it.GetMeasured().GetPoints(), t.points}} {
		if part.text == "" {
			continue
		}
		value, err := money.ParseExact(part.text)
		if err != nil {
			return err
		}
		part.into.Add(part.into, value)
	}
	t.measured += money.Pence(it.GetMeasured().GetAmountPence())
	t.due += money.Pence(it.GetDue().GetAmountPence())
	return nil
}

// percent is the achievement over all PCNs together.
func (t *indicatorTotal) percent() string {
	if t.denominator.Sign() == 0 {
		return "–"
	}
	part := new(big.Rat).Quo(t.numerator, t.denominator)
	return part.Mul(part, big.NewRat(100, 1)).FloatString(1)
}

// mean is the points of a PCN on average.
func (t *indicatorTotal) mean() string {
	if t.counted == 0 {
		return "–"
	}
	return new(big.Rat).Quo(t.points, big.NewRat(int64(t.counted), 1)).FloatString(1)
}

// printOverride writes the measured result and the one by national decision side by side, for the PCNs where they differ most and least.
func (s *achievementSample) printOverride(out io.Writer, w *tabwriter.Writer) error {
	type difference struct {
		a  *iifv1.Achievement
		it *iifv1.IndicatorResult
		by money.Pence
	}
	var all []difference
	more := 0
	for _, a := range s.all {
		for _, it := range a.GetResult().GetIndicators() {
			if it.GetIndicatorCode() == overridden && it.GetOverrideId() != "" {
				by := money.Pence(it.GetDue().GetAmountPence() - it.GetMeasured().GetAmountPence())
				all = append(all, difference{a, it, by})
				if by > 0 {
					more++
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b difference) int {
		return cmp.Or(cmp.Compare(b.by, a.by), strings.Compare(a.a.GetPcnCode(), b.a.GetPcnCode()))
	})
	_, _ = fmt.Fprintf(out, "\n%s as measured and by national decision (all points to everybody): %s of %s PCNs are due more than they measured\n", overridden, count(int64(more)), count(int64(len(all))))
	const shown = 3
	for _, part := range [][]difference{all[:min(shown, len(all))], all[max(0, len(all)-shown):]} {
		for _, d := range part {
			_, _ = fmt.Fprintf(w, "%s\t%s%%\t%s points\t%s measured\t%s points\t%s due\t  %s\t\n", d.a.GetPcnCode(), shortly(d.it.GetAchievement()), shortly(d.it.GetMeasured().GetPoints()),
				money.Pence(d.it.GetMeasured().GetAmountPence()), shortly(d.it.GetDue().GetPoints()), money.Pence(d.it.GetDue().GetAmountPence()), d.a.GetPcnName())
		}
	}
	return w.Flush()
}

// printEnds writes the PCNs that are due most and least.
func (s *achievementSample) printEnds(out io.Writer, w *tabwriter.Writer) error {
	all := slices.SortedFunc(slices.Values(s.all), func(a, b *iifv1.Achievement) int {
		return cmp.Or(cmp.Compare(b.GetResult().GetDuePence(), a.GetResult().GetDuePence()), strings.Compare(a.GetPcnCode(), b.GetPcnCode()))
	})
	const shown = 3
	_, _ = fmt.Fprintln(out, "\nthree PCNs that are due most, and three that are due least")
	for _, part := range [][]*iifv1.Achievement{all[:min(shown, len(all))], all[max(0, len(all)-shown):]} {
		for _, a := range part {
			r := a.GetResult()
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s of %s points\t%s due\t  %s\t\n", a.GetPcnCode(), a.GetCommissionerCode(), shortly(r.GetPoints()), shortly(r.GetPointsAvailable()),
				money.Pence(r.GetDuePence()), a.GetPcnName())
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\nthe sample declares and approves nothing of it; bin/pcnfunding iif show %s %s tells what is behind one year\n", samplePCN, s.of.Year)
	return err
}
