"""What all pages and API handlers share; it knows people and keys (`portal.access`), but no feature.

A page is a handler with a guard, a query or a verb, and `page()`:

    @get("/things", guards=[require("things:read")])
    async def things_page(request: AnyRequest, db: Database, actor: Actor) -> Response[str]:
        cursor = decode_cursor(request.query_params.get("cursor"))
        async with db.read() as conn:
            rows = await things(conn, PAGE_SIZE + 1, cursor)
        return page(request, "things/list.html", block="results", found=page_of(rows, PAGE_SIZE), query=…)

* `render`: `page(request, template, block=, status=, flash=, **context)`, `redirect(request, path, flash=)`, `preview(html)`
  for foreign HTML in an iframe, `local_path` for addresses to return to. The blocks of templates are listed at the top of
  `templates/base.html`.
* `guards`: `require(permission)`, `signed_in`, `public`, `machines`; every route has one of them.
* `forms`: `fields_of(Struct, values, errors=, secrets=)` draws, `read(Struct, form, keep=)` reads; `many(await
  request.form())` is the form as a dict; `Field` and `with_errors` for forms without a struct.
* `paging`: `decode_cursor`, `page_of`; lists are ordered by time and id, newest first.
* `errors`, `problems`: `portal.errors` → HTML, fragment or problem+json; handlers raise and catch only `InvalidInput`
  of their own form.
* `visit`, `sessions`: who makes the request; `visit_of(request)`. `edge`: hosts, body caps, headers, access log.
* `navigation`: the menu; an entry appears when its page exists and the actor may open it.
* `wiring`: what `portal.app` puts around the framework.
"""
