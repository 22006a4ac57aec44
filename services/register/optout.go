package register

import (
	"context"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
)

func windowToProto(w rules.Window) *registerv1.OptOutWindow {
	return &registerv1.OptOutWindow{Opens: w.Opens.String(), Closes: w.Closes.String(), Source: w.Source}
}

// ListOptOutWindows returns the windows in which a practice may give notice to leave the DES.
func (s *Service) ListOptOutWindows(
	_ context.Context, req *registerv1.ListOptOutWindowsRequest,
) (*registerv1.ListOptOutWindowsResponse, error) {
	after, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), defaultList)
	var rows []*registerv1.OptOutWindow
	for _, w := range s.windows {
		if w.Opens.String() > after && len(rows) <= size {
			rows = append(rows, windowToProto(w))
		}
	}
	out := &registerv1.ListOptOutWindowsResponse{}
	out.Windows, out.NextPageToken = page.Cut(rows, size, (*registerv1.OptOutWindow).GetOpens)
	return out, nil
}

// QuoteOptOut says whether an opt-out notice of a day falls inside a window.
func (s *Service) QuoteOptOut(_ context.Context, req *registerv1.QuoteOptOutRequest) (*registerv1.QuoteOptOutResponse, error) {
	notice, err := requiredDate("notice_date", req.GetNoticeDate())
	if err != nil {
		return nil, err
	}
	windows := s.windows
	if len(req.GetWindows()) > 0 {
		if windows, err = windowsFromProto(req.GetWindows()); err != nil {
			return nil, err
		}
	}
	found, inside := rules.FindWindow(notice, windows)
	if !inside {
		return &registerv1.QuoteOptOutResponse{}, nil
	}
	return &registerv1.QuoteOptOutResponse{InsideWindow: true, Window: windowToProto(found)}, nil
}

func windowsFromProto(windows []*registerv1.OptOutWindow) ([]rules.Window, error) {
	out := make([]rules.Window, 0, len(windows))
	for _, w := range windows {
		opens, err := requiredDate("windows.opens", w.GetOpens())
		if err != nil {
			return nil, err
		}
		closes, err := requiredDate("windows.closes", w.GetCloses())
		if err != nil {
			return nil, err
		}
		if closes.Before(opens) {
			return nil, fault.New(fault.Invalid, rules.ReasonPeriodReversed, "a window closes on %s, before it opens on %s", closes, opens).
				At("windows.closes", "not before opens")
		}
		out = append(out, rules.Window{Opens: opens, Closes: closes, Source: w.GetSource()})
	}
	return out, nil
}
